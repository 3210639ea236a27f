"""A plan carried out: only on files that are still what the plan was made of."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from genretag.audio.payload import identify
from genretag.errors import FileError, GenretagError, PlanError, StoreError
from genretag.escapes import has_control
from genretag.interruption import held_off
from genretag.labels import split_genres
from genretag.places import places_listed
from genretag.store import FileKey, KnownFile, Store
from genretag.tagging import tags
from genretag.tagging.look import only_ctime_differs
from genretag.tagging.plan import Record, find_path
from genretag.tagging.tag import ATTEMPTS, provenance
from genretag.tagging.writer import GenreWriter, WriteOptions


class Applying:
    """One run of `apply`: iterate over `records()`; afterwards `writer` tells what was written.

    A plan may come from anyone. With `under`, only files below these folders are touched, wherever links
    lead. Without, a line that names the recording is carried out where its file holds that recording, and a
    line that does not is carried out only below the working folder. The history calls the run `command`.
    """

    def __init__(
        self,
        plan: Iterable[Record],
        options: WriteOptions,
        store: Store,
        under: Sequence[Path] = (),
        *,
        command: str = "apply",
    ) -> None:
        self.options = options
        self.plan = [record for record in plan if record.genres and record.status in ("planned", "unsure")]
        self._named = bool(under)
        self._roots = [Path(os.path.realpath(folder)) for folder in under or (Path(),)]
        places = places_listed(find_path(record.path) for record in self.plan)
        self.writer = GenreWriter(store, command, None, options, places)
        self._store = store

    def records(self) -> Generator[Record, None, None]:
        """A record for every line that asks for genres (planned, or unsure and filled in by hand).

        BusyError, before anything is done, where another run writes in the same folders.
        """
        with self.writer:
            self.writer.begin()
            for planned in self.plan:
                with held_off():
                    yield self._carried_out(planned)

    def _carried_out(self, planned: Record) -> Record:
        path = find_path(planned.path)
        for _ in range(ATTEMPTS - 1):
            key = _key(path)
            record = self._attempted(planned, path)
            raced = record.error is not None and record.error.code == "changed"
            # Edited, its modification time restored, while it was being written: its genres decide anew.
            if not (raced and key is not None and only_ctime_differs(path, key)):
                return record
        return self._attempted(planned, path)

    def _attempted(self, planned: Record, path: Path) -> Record:
        record = replace(planned, path=path, error=None, seconds=0.0)
        try:
            self._refuse_outside(planned, path)
            with _reading(path):
                key = FileKey.of(path.stat())
                audio_id, state = identify(path), tags.read(path)
            known = KnownFile(audio_id, state.format, state.taggable, state.genres)
            # A later undo finds the file here if it was moved.
            self._store.remember_file(key, path, known)
            if planned.audio not in (None, audio_id):
                raise _changed(f"{path}: holds another recording than the plan was made of")
            if tags.same(state, planned.genres, self.options.separator):
                return replace(record, status="unchanged")
            if planned.audio is not None and planned.previous != state.genres:
                found = ", ".join(state.genres) or "none"
                raise _changed(f"{path}: its genre changed since the plan was made (now {found})")
            self._refuse_control(planned, path, state.genres)
            note = provenance(planned) if self.options.provenance else None
            changed = self.writer.write(path, key, known, planned.genres, note)
        except StoreError:
            raise
        except GenretagError as error:
            return replace(record, status="failed", error=FileError.of(error))
        return replace(record, status="written" if changed else "unchanged")

    def _refuse_control(self, planned: Record, path: Path, present: Sequence[str]) -> None:
        """Raise PlanError if the plan would bring a control character into the file.

        A genre with one is accepted only if the file holds that very genre now.
        """
        held = {*present, *split_genres(present, self.options.separator)}
        if odd := [genre for genre in planned.genres if has_control(genre) and genre not in held]:
            raise PlanError(
                f"{path}: the genre {odd[0][:100]!r} holds a control character and is not in the file; "
                "correct the plan"
            )

    def _refuse_outside(self, planned: Record, path: Path) -> None:
        if planned.audio is not None and not self._named:
            return
        real = Path(os.path.realpath(path))
        if any(real.is_relative_to(root) for root in self._roots):
            return
        leads = "" if real == path else f" (it leads to {real})"
        if self._named:
            where = "not below a folder of --under"
        else:
            where = "not below the working folder, and the plan does not say which recording it means"
        raise PlanError(
            f"{path}{leads}: {where}; if you trust the plan, allow it with --under DIR", code="outside"
        )


def _key(path: Path) -> FileKey | None:
    try:
        return FileKey.of(path.stat())
    except OSError:
        return None


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn errors of the system into a PlanError; not for writing, after which the file may be changed."""
    try:
        yield
    except OSError as error:
        code = "missing" if isinstance(error, FileNotFoundError) else "unreadable"
        message = f"{path}: {error.strerror or error}; the plan names a file that cannot be read"
        raise PlanError(message, code=code) from error


def _changed(message: str) -> PlanError:
    return PlanError(f"{message}; run genretag tag again", code="changed")
