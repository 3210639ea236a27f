"""The page of a library in a real browser: it answers, plays, fits, and axe finds nothing."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.pages_speed import made_up
from browser import Visit, Visitor
from genretag import checkpoint
from genretag.errors import FileError
from genretag.library.listing import COLUMNS
from genretag.library.tracks import Library, LibraryTrack, Stranger
from genretag.pages.report import page
from sounds import make_sound

pytestmark = pytest.mark.xdist_group("browser")

NAME = "=\"'><img src=x onerror=alert(1)><!--<script>${1}\u202e\x1b[2J.flac"
SHOWN = "=\"'><img src=x onerror=alert(1)><!--<script>${1}\\u202e\\u001b[2J.flac"
GENRE = "</script><b>Rock</b>"
TRACKS = 1200
WALK = """() => {
  const map = document.getElementById("map"), box = map.getBoundingClientRect();
  for (let clientX = box.left + 6; clientX < box.right; clientX += 12)
    for (let clientY = box.top + 6; clientY < box.bottom; clientY += 12) {
      map.dispatchEvent(new PointerEvent("pointermove", { clientX, clientY }));
      if (!document.getElementById("tip").hidden) return [clientX, clientY];
    }
  return [0, 0];
}"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("library")


@pytest.fixture(scope="module")
def library(folder: Path) -> Library:
    """A made-up library with some tracks of its own at the end: one that plays, and hostile ones."""
    made = made_up(TRACKS - 3, checkpoint.read_meta(checkpoint.resolve("auto")))
    music = folder / "music"
    music.mkdir()
    song = make_sound(music / "zz odd \udce9 #1 100%?.flac", 2.0)
    tracks = tuple(replace(track, path=music / track.path.relative_to("/made-up")) for track in made.tracks)
    extra = (
        LibraryTrack(song, ("Zydeco",), ("Änderung",), ("Zydeco",), confidence=0.7, duration=2.0, row=0),
        LibraryTrack(music / NAME, (GENRE,), None, (), guess="Rock", confidence=0.2, duration=3.0, row=1),
        LibraryTrack(music / "gone.wma", error=FileError("not-audio", f"{music}/gone.wma: </script>")),
    )
    strange = Stranger(TRACKS - 3, '"><b>album</b>', "Classical", 12, called=True, sounds=True)
    return replace(made, tracks=tracks + extra, strangers=(*made.strangers, strange), gone=2)


@pytest.fixture(scope="module")
def written(library: Library, folder: Path) -> Path:
    out = folder / "library.html"
    out.write_bytes(page(library, out))
    return out


def search(visit: Visit, text: str) -> None:
    visit.tab.fill("#search", text)


def shown(visit: Visit) -> int:
    """How many tracks the table says it shows."""
    return int(visit.tab.text_content("#shown").split(" of ")[0].replace(",", ""))


def column(visit: Visit, name: str) -> list[str]:
    return [text.strip() for text in visit.tab.locator(f"#rows td.{name}").all_text_contents()]


def test_only_rows_in_sight_are_in_the_document(visit: Visitor, written: Path) -> None:
    with visit(written) as opened:
        tab = opened.tab
        assert shown(opened) == TRACKS
        assert tab.locator("#rows tr").count() < 60
        assert tab.get_attribute("#tracks", "aria-rowcount") == str(TRACKS + 1)
        tab.evaluate("document.getElementById('scroll').scrollTop = 1e9")
        opened.until(f"document.querySelector('#rows tr:last-child').ariaRowIndex === '{TRACKS + 1}'")
        assert tab.locator("#rows tr").count() < 60
        assert not opened.complaints
        assert all(address.startswith(("file:", "data:")) for address in opened.asked)


def test_search_finds_words_anywhere_whatever_case_and_accents(visit: Visitor, written: Path) -> None:
    with visit(written) as opened:
        search(opened, "ANDERUNG zydeco")
        assert shown(opened) == 1
        assert column(opened, "heard") == ["Zydecofile: Zydeco"]
        search(opened, "no such thing")
        assert shown(opened) == 0
        opened.tab.click("#clear")
        assert shown(opened) == TRACKS


def test_figures_and_genres_are_choices(visit: Visitor, written: Path, library: Library) -> None:
    with visit(written) as opened:
        tab = opened.tab
        tab.click("[data-kind=failed]")
        failed = sum(track.hearing == "failed" for track in library.tracks)
        assert shown(opened) == failed
        assert tab.get_attribute("[data-kind=failed]", "aria-pressed") == "true"
        tab.click("#chips button")
        assert shown(opened) == TRACKS
        tab.click("[data-kind=strange]")
        assert shown(opened) == len(library.strangers)
        tab.click("[data-kind=strange]")
        tab.click("[data-genre=Classical]")
        heard = sum(track.heard[:1] == ("Classical",) for track in library.tracks)
        assert 0 < shown(opened) == heard < TRACKS
        assert not opened.complaints


def test_sorting_knows_numbers_and_puts_what_is_missing_last(visit: Visitor, written: Path) -> None:
    with visit(written) as opened:
        tab = opened.tab
        for order in ("descending", "ascending"):
            tab.click("th.score button")
            assert tab.get_attribute("th.score", "aria-sort") == order
            scores = [float(text) for text in column(opened, "score")]
            assert scores == sorted(scores, reverse=order == "descending")
        tab.evaluate("document.getElementById('scroll').scrollTop = 1e9")
        opened.until("document.querySelector('#rows tr:last-child td.score').textContent === ''")
        tab.click("th.folder button")
        assert column(opened, "folder")[0] == "artist 0/album 0"
        tab.click("th.name button")
        assert column(opened, "name")[0].startswith("01 ")


def test_a_track_plays_from_the_table_and_what_cannot_is_said(visit: Visitor, written: Path) -> None:
    with visit(written) as opened:
        tab = opened.tab
        search(opened, "zz odd")
        tab.click("#rows button.go")
        opened.until("document.getElementById('audio').currentTime > 0.1")
        assert tab.is_hidden("#trouble")
        tab.click("#close")
        assert tab.is_hidden("#player")
        assert tab.evaluate("document.activeElement.className") == "go"
        search(opened, "gone.wma")
        tab.click("#rows button.go")
        tab.wait_for_selector("#trouble:visible")
        assert "the format wma" in tab.text_content("#trouble")


def test_the_map_answers_the_pointer(visit: Visitor, written: Path) -> None:
    with visit(written) as opened:
        tab = opened.tab
        search(opened, "zz odd")
        tab.click("#nearer")
        tab.click("#whole")
        # The one track that matches is somewhere: a walk over the map must come past it.
        tab.locator("#map").scroll_into_view_if_needed()
        place = tab.evaluate(WALK)
        assert 0 < place[1] < 800
        tab.mouse.move(*place)
        assert "zz odd" in tab.text_content("#tip")
        tab.mouse.down()
        tab.mouse.up()
        assert "zz odd" in tab.text_content("#playing")
        assert not opened.complaints


def test_rows_are_walked_by_keyboard(visit: Visitor, written: Path) -> None:
    with visit(written) as opened:
        tab = opened.tab
        tab.focus("#rows tr:first-child button")
        for _ in range(60):
            tab.keyboard.press("ArrowDown")
        row = "Number(document.activeElement.closest('tr').ariaRowIndex)"
        assert tab.evaluate(row) == 62
        tab.keyboard.press("ArrowUp")
        assert tab.evaluate(row) == 61


def test_names_of_strangers_are_text_and_no_formulas(visit: Visitor, written: Path, folder: Path) -> None:
    with visit(written) as opened:
        tab = opened.tab
        assert tab.locator("main img, #strangers td b b, #failures b").count() == 0
        search(opened, "onerror")
        assert tab.locator("#rows td.name span").first.text_content() == SHOWN
        assert column(opened, "now") == [GENRE]
        with tab.expect_download() as download:
            tab.click("#csv")
        download.value.save_as(folder / "saved.csv")
        text = (folder / "saved.csv").read_text(encoding="utf-8-sig")
        (row,) = csv.DictReader(io.StringIO(text))
        assert row["path"] == "'" + SHOWN
        assert (row["hearing"], row["genres"], row["score"]) == ("unsure", GENRE, "0.2")
        with tab.expect_download() as download:
            tab.click("#json")
        download.value.save_as(folder / "saved.json")
        (exact,) = json.loads((folder / "saved.json").read_text())
        assert (exact["path"], exact["genres"]) == (NAME, [GENRE])
        assert set(exact) == set(COLUMNS)
        search(opened, "zydeco")
        with tab.expect_download() as download:
            tab.click("#csv")
        download.value.save_as(folder / "saved.csv")
        (row,) = csv.DictReader(io.StringIO((folder / "saved.csv").read_text(encoding="utf-8-sig")))
        assert (row["before"], row["album"]) == ("Änderung", 'unlike "><b>album</b> (Classical)')
        assert not opened.complaints


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_nothing_overflows_and_axe_finds_nothing(
    visit: Visitor, written: Path, axe: str, width: int, theme: str
) -> None:
    with visit(written, width=width, theme=theme, reduced_motion="reduce") as opened:
        assert opened.overflow() <= 0
        opened.tab.click("[data-kind=sure]")
        opened.tab.click("#rows button.go")
        assert opened.overflow() <= 0
        assert opened.violations(axe) == []


def test_an_empty_library_has_a_page(visit: Visitor, folder: Path) -> None:
    meta = checkpoint.read_meta(checkpoint.resolve("auto"))
    out = folder / "empty.html"
    out.write_bytes(page(Library((), np.zeros((0, len(meta.labels)), np.float32), meta, ()), out))
    with visit(out) as opened:
        assert shown(opened) == 0
        assert not opened.complaints


def test_a_library_that_was_never_heard_has_a_page(visit: Visitor, folder: Path) -> None:
    meta = checkpoint.read_meta(checkpoint.resolve("auto"))
    heard = made_up(20, meta)
    tracks = tuple(LibraryTrack(track.path, ("Rock",)) for track in heard.tracks)
    out = folder / "unheard.html"
    out.write_bytes(page(Library(tracks, heard.scores[:0], meta, ()), out))
    with visit(out) as opened:
        assert opened.tab.is_hidden("#map-section")
        assert opened.tab.is_hidden("#sure-section")
        assert shown(opened) == 20
        assert not opened.complaints
