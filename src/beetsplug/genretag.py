"""A plugin for beets: genres heard in the music, at import and by `beet genretag`.

genretag decides; beets keeps the genres in its library and writes them into the files.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from optparse import Values
from pathlib import Path

from beets import ui
from beets.importer import ImportSession, ImportTask
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


class GenretagPlugin(BeetsPlugin):
    """Import stage and command; see `genretag:` in docs/recipes.md for its configuration."""

    def __init__(self) -> None:
        super().__init__()
        self.config.add({
            "auto": True,
            "model": "auto",
            "existing": "keep",
            "top": 3,
            "min_confidence": 0.0,
            "map": None,
            "write": True,
        })  # fmt: skip
        self._options: TagOptions | None = None
        self._predictor: Predictor | None = None
        self._changed: set[int] = set()
        if self.config["auto"].get(bool):
            self.import_stages = [self.imported]
            self.register_listener("import_begin", self.check)
            self.register_listener("import_task_files", self.in_place)
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
        existing = Existing.REPLACE if options.force else self._existing()
        items = list(library.items(arguments))
        changed: dict[int, Album] = {}
        for item, genres in self._heard(items, existing):
            ui.print_(f"{item}: {', '.join(genres)}")
            if options.pretend:
                continue
            item.genres = genres
            item.try_sync(write=self._writes(), move=False)
            if (album := item.get_album()) is not None:
                changed[album.id] = album
        for album in changed.values():
            self._sum_up(album, list(album.items()))

    def check(self, session: ImportSession) -> None:
        """Find mistakes in the configuration before anything is imported."""
        self._tag_options()

    def imported(self, session: ImportSession, task: ImportTask) -> None:
        """The import stage: after the matching, before beets copies and writes the files."""
        items = task.imported_items()
        changed = False
        for item, genres in self._heard(items, self._existing()):
            item.genres = genres
            item.store()
            self._changed.add(item.id)
            changed = True
        if changed and task.is_album:
            self._sum_up(task.album, items)

    def in_place(self, session: ImportSession, task: ImportTask) -> None:
        """Files of an import "as is", which beets does not write: let it write those with a new genre."""
        for item in task.imported_items():
            if item.id in self._changed:
                self._changed.remove(item.id)
                if not task.apply and self._writes():
                    item.try_write()
                    item.store()

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
                tagging = Tagging(options, store, self._predictor)
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
        """The configuration, for a genretag that only decides; UserError where it cannot be meant."""
        if self._options is None:
            try:
                named = self.config["map"].get()
                genre_map = load_map(Path(self.config["map"].as_filename())) if named else GenreMap()
                checkpoint.resolve(self.config["model"].as_str())
            except GenretagError as error:
                raise ui.UserError(f"genretag: {error}") from error
            self._existing()
            self._options = TagOptions(
                model=self.config["model"].as_str(),
                write=False,
                existing=Existing.REPLACE,
                rule=DecisionRule(
                    top=self.config["top"].get(int), min_confidence=self.config["min_confidence"].as_number()
                ),
                genre_map=genre_map,
            )
        return self._options

    def _existing(self) -> Existing:
        # "refresh" asks who wrote a genre; of those that beets writes nobody keeps account.
        choices = [Existing.KEEP.value, Existing.ADD.value, Existing.REPLACE.value]
        return Existing(self.config["existing"].as_choice(choices))

    def _writes(self) -> bool:
        return bool(self.config["write"].get(bool) and ui.should_write())
