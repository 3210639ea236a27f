"""A plugin for beets: genres heard in the music, at import and by `beet genretag`.

genretag decides; beets keeps the genres in its library and writes them into the files.
"""

from __future__ import annotations

import difflib
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from optparse import Values
from pathlib import Path
from typing import Any

from beets import ui
from beets.importer import Action, ImportSession, ImportTask
from beets.library import Album, Item, Library
from beets.plugins import BeetsPlugin

from genretag import checkpoint
from genretag.errors import GenretagError
from genretag.escapes import printable
from genretag.predict.decide import DecisionRule
from genretag.predict.engine import Predictor
from genretag.store import Store
from genretag.tagging.genremap import GenreMap, load_map
from genretag.tagging.plan import Existing, Record, merge
from genretag.tagging.scan import Found
from genretag.tagging.tag import Tagging, TagOptions

DEFAULTS: dict[str, Any] = {
    "auto": True,
    "model": "auto",
    "existing": "keep",
    "top": 3,
    "min_confidence": 0.0,
    "map": None,
    "write": True,
}
# "refresh" depends on who wrote a genre, and no journal records what beets writes.
EXISTING = [Existing.KEEP.value, Existing.ADD.value, Existing.REPLACE.value]


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_probability(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


# Option, the test of its value, and the accepted values for the error message.
ALLOWED: dict[str, tuple[Callable[[object], bool], str]] = {
    "auto": (_is_bool, "yes or no"),
    "model": (_is_text, "a name of `genretag models`, or a checkpoint file"),
    "existing": (EXISTING.__contains__, f"one of {EXISTING}"),
    "top": (_is_count, "a whole number from 1 up"),
    "min_confidence": (_is_probability, "a number from 0 to 1"),
    "map": (lambda value: value is None or _is_text(value), "a map file"),
    "write": (_is_bool, "yes or no"),
}


class GenretagPlugin(BeetsPlugin):
    """Import stage and command; see `genretag:` in docs/recipes.md for its configuration."""

    def __init__(self) -> None:
        super().__init__()
        self.config.add(DEFAULTS)
        self._values: dict[str, Any] | None = None
        self._options: TagOptions | None = None
        self._predictor: Predictor | None = None
        self._changed: set[int] = set()
        self._not_written: Counter[str] = Counter()
        # Options are not read here: beets would log an error of a constructor and import without the plugin.
        self.import_stages = [self.imported]
        self.register_listener("import_begin", self.check)
        self.register_listener("import_task_files", self.write_imported)
        self.register_listener("import", self.report_not_written)
        self.register_listener("cli_exit", self.close)

    # What beets calls

    def commands(self) -> list[ui.Subcommand]:
        command = ui.Subcommand("genretag", help="set genres by what is heard in the files")
        command.parser.add_option(
            "-f", "--force", action="store_true", help="replace genres that are there already"
        )
        command.parser.add_option(
            "-p", "--pretend", action="store_true", help="show the genres, change nothing"
        )
        command.func = self.command
        return [command]

    def command(self, library: Library, options: Values, arguments: list[str]) -> None:
        """`beet genretag [QUERY]`."""
        existing = Existing.REPLACE if options.force else Existing(self._checked()["existing"])
        items = list(library.items(arguments))
        changed: dict[int, Album] = {}
        for item, genres in self._heard(items, existing):
            ui.print_(f"{item}: {', '.join(genres)}")
            if options.pretend:
                continue
            item.genres = genres
            item.try_sync(write=self._writes() and self._may_write(_link_kind(item.path)), move=False)
            if (album := item.get_album()) is not None:
                changed[album.id] = album
        for album in changed.values():
            self._sum_up(album, list(album.items()))
        self.report_not_written()

    def check(self, session: ImportSession) -> None:
        """Refuse wrong options before anything is imported."""
        if self._checked()["auto"]:
            self._tag_options()

    def imported(self, session: ImportSession, task: ImportTask) -> None:
        """The import stage: after the matching, before beets copies and writes the files."""
        if not self._checked()["auto"]:
            return
        items = task.imported_items()
        changed = False
        for item, genres in self._heard(items, Existing(self._checked()["existing"])):
            item.genres = genres
            item.store()
            self._changed.add(item.id)
            changed = True
        if changed and task.is_album:
            self._sum_up(task.album, items)

    def write_imported(self, session: ImportSession, task: ImportTask) -> None:
        """Write the new genres of an import "as is", which beets itself does not write.

        Files that are originals, or links to them, are left alone: their genres are in the library.
        """
        changed = [item for item in task.imported_items() if item.id in self._changed]
        self._changed.difference_update(item.id for item in changed)
        if task.choice_flag is not Action.ASIS or not self._writes():
            return
        # A move makes the original file the library's own; after a copy the two are different files.
        originals = set() if session.config["move"].get(bool) else _identities(task.old_paths)
        for item in changed:
            in_place = "imported in place" if _identities([item.path]) & originals else None
            if self._may_write(_link_kind(item.path) or in_place):
                item.try_write()
                item.store()

    def report_not_written(self) -> None:
        """Warn in one line about genres that are in the library but not in the files."""
        if count := self._not_written.total():
            kinds = ", ".join(f"{kind}: {number}" for kind, number in sorted(self._not_written.items()))
            self._not_written.clear()
            self._log.warning(
                "stored the genres of {} {} in the beets library only, because writing them would change "
                "the original files ({}); to write them anyway, run: beet write",
                count,
                "file" if count == 1 else "files",
                kinds,
            )

    def close(self) -> None:
        """End the decoding processes."""
        if self._predictor is not None:
            self._predictor.close()

    # How it is done

    def _heard(self, items: Sequence[Item], existing: Existing) -> Iterator[tuple[Item, list[str]]]:
        """Items with the genres that they are to have, where these are not the ones that they have."""
        if existing is Existing.KEEP:
            items = [item for item in items if not item.genres]
        options = self._tag_options()
        if not items:
            return
        try:
            if self._predictor is None:
                self._predictor = Predictor(checkpoint.resolve(options.model), options.engine)
            with Store.open() as store:
                tagging = Tagging(options, store, predictor=self._predictor)
                paths = [Found(Path(os.fsdecode(item.path))) for item in items]
                with closing(tagging.records(paths)) as records:
                    for item, record in zip(items, records, strict=True):
                        genres = self._wanted(item, record, existing)
                        if genres and genres != list(item.genres or []):
                            yield item, genres
        except GenretagError as error:
            raise ui.UserError(f"genretag: {error}") from error

    def _wanted(self, item: Item, record: Record, existing: Existing) -> list[str]:
        if record.error is not None:
            self._log.warning("{}", printable(record.error.message))
            return []
        if not record.genres:
            self._log.info("not sure enough: {}", item)
            return []
        return list(merge(existing, tuple(item.genres or ()), record.genres, None) or ())

    def _sum_up(self, album: Album, items: Sequence[Item]) -> None:
        """Give an album the genres of most of its tracks; the tracks keep their own."""
        counts = Counter(genre for item in items for genre in item.genres or ())
        album.genres = [genre for genre, _ in counts.most_common(self._tag_options().rule.top)]
        album.store(inherit=False)

    def _tag_options(self) -> TagOptions:
        """Return the options of a run that decides and writes nothing; UserError if one is wrong."""
        if self._options is None:
            values = self._checked()
            try:
                checkpoint.read_meta(checkpoint.resolve(values["model"]))
            except GenretagError as error:
                raise ui.UserError(f"{self.name}.model: {error}") from error
            try:
                genre_map = load_map(Path(self.config["map"].as_filename())) if values["map"] else GenreMap()
            except GenretagError as error:
                raise ui.UserError(f"{self.name}.map: {error}") from error
            self._options = TagOptions(
                model=values["model"],
                write=False,
                existing=Existing.REPLACE,
                rule=DecisionRule(top=values["top"], min_confidence=float(values["min_confidence"])),
                genre_map=genre_map,
            )
        return self._options

    def _checked(self) -> dict[str, Any]:
        """Return the configured values; UserError that names the option if one is unknown or wrong."""
        if self._values is None:
            values: dict[str, Any] = {}
            for source, _ in reversed(list(self.config.resolve())):
                if not isinstance(source, dict | None):
                    raise ui.UserError(f"{self.name}: must be options and their values, not {source!r}")
                values |= source or {}
            for key, value in values.items():
                if key not in ALLOWED:
                    near = difflib.get_close_matches(str(key), ALLOWED, n=1)
                    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(ALLOWED)}"
                    raise ui.UserError(f"{self.name}: unknown option {key!r}; {hint}")
                accepts, allowed = ALLOWED[key]
                if not accepts(value):
                    raise ui.UserError(f"{self.name}.{key}: must be {allowed}, not {value!r}")
            self._values = values
        return self._values

    def _writes(self) -> bool:
        return bool(self._checked()["write"] and ui.should_write())

    def _may_write(self, shared: str | None) -> bool:
        """Return whether a file may be written; count it if `shared` says why its original would change."""
        if shared is not None:
            self._not_written[shared] += 1
        return shared is None


def _link_kind(path: bytes) -> str | None:
    """Return which kind of link a path is; None for a file with one name, and for one that is missing."""
    try:
        status = os.lstat(path)
    except OSError:
        return None  # beets reports this when it writes
    if stat.S_ISLNK(status.st_mode):
        return "symbolic links"
    return "hard links" if status.st_nlink > 1 else None


def _identities(paths: Iterable[bytes]) -> set[tuple[int, int]]:
    """Return device and inode of the files that exist; a copy of a file has others than the file."""
    found = set()
    for path in paths:
        try:
            status = os.stat(path)
        except OSError:
            continue
        found.add((status.st_dev, status.st_ino))
    return found
