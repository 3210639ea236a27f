"""Genres into files: one journalled run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from genretag.errors import TagError, WriteError
from genretag.journal import Change, Journal
from genretag.places import Place
from genretag.store import FileKey, KnownFile, Store
from genretag.tagging import tags
from genretag.tagging.arriving import incomplete, is_recent, missing
from genretag.tagging.tags import Id3Version
from genretag.tagging.write import hash_file, safe_write


@dataclass(frozen=True)
class WriteOptions:
    """How genres are stored; see the options of `genretag tag` by the same names."""

    separator: str | None = None
    id3: Id3Version = "keep"
    preserve_mtime: bool = False
    provenance: bool = False
    in_place: bool = False


class GenreWriter:
    """Writes genres and keeps journal and cache in step; use it in a `with` statement.

    `run_id` is the run in the history once something was written, `links_broken` the files that had other
    names (hard links) which still show the old genre, `owner_changed` those that belong to this user now,
    `cut_short` those whose header promises more data than they hold. `places` are where it is going to write.
    """

    def __init__(
        self,
        store: Store,
        command: str,
        model: str | None,
        options: WriteOptions,
        places: Iterable[Place] = (),
    ) -> None:
        self.options = options
        self.journal = Journal(store)
        self.run_id: int | None = None
        self.links_broken: list[Path] = []
        self.owner_changed: list[Path] = []
        self.cut_short: list[Path] = []
        self._store = store
        self._command = command
        self._model = model
        self._places = places
        self._run = ExitStack()
        # States before and after a write in place: another name of the file may have been looked at before.
        self._rewritten: dict[FileKey, FileKey] = {}

    def __enter__(self) -> GenreWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run.__exit__(kind, error, trace)

    def write(
        self, path: Path, key: FileKey, known: KnownFile, genres: Sequence[str], provenance: str | None
    ) -> bool:
        """Make `genres` the genres of the file in the state `key`; False where its bytes are that already.

        Raises WriteError or TagError with the file as it was, StoreError where the journal cannot be kept.
        """
        options = self.options
        stored = tags.as_stored(genres, options.separator)
        state = tags.read(path)
        if state.genres != known.genres:
            raise WriteError(f"{path}: its genre was changed since it was read; run again", code="changed")
        self._require_complete(path, known)
        change = Change(known.audio_id, state.format, state.raw, state.genres, stored)

        def edit(copy: Path) -> None:
            tags.write(copy, genres, separator=options.separator, id3=options.id3, provenance=provenance)

        def check(copy: Path) -> None:
            if (found := tags.read(copy).genres) != stored:
                raise TagError(f"{copy}: holds {found} instead of {stored}")

        outcome = safe_write(
            path,
            edit,
            check,
            expected=key,
            change=change,
            journal=self.journal,
            run_id=self.begin(),
            preserve_mtime=options.preserve_mtime,
            in_place=options.in_place,
        )
        if outcome.links_broken:
            self.links_broken.append(path)
        if outcome.owner_changed:
            self.owner_changed.append(path)
        if options.in_place and outcome.changed:
            self._rewritten[key] = outcome.key
        self._store.remember_file(
            outcome.key, path, KnownFile(known.audio_id, state.format, taggable=True, genres=stored)
        )
        return outcome.changed

    def _require_complete(self, path: Path, known: KnownFile) -> None:
        """Refuse a file that may still be arriving; note one that was cut long ago."""
        reason = missing(path)
        if reason is None:
            return
        if is_recent(path) and not self.journal.wrote(known.audio_id, hash_file(path)):
            error = incomplete(path, reason)
            raise WriteError(error.message, code=error.code)
        self.cut_short.append(path)

    def key_now(self, key: FileKey) -> FileKey:
        """Return the state of a file that had the state `key` before this run wrote into it in place."""
        return self._rewritten.get(key, key)

    def begin(self) -> int:
        """The id of the run; BusyError where another run is writing in one of the places."""
        if self.run_id is None:
            run = self.journal.run(self._command, self._model, self._places)
            self.run_id = self._run.enter_context(run)
        return self.run_id
