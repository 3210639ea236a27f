"""The page of one song in a real browser: it plays, it answers, it fits, and axe finds nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from browser import Visit, Visitor
from genretag.checkpoint import resolve
from genretag.pages.inspect import page
from genretag.pages.sound import Sound, embed, link
from genretag.predict.decide import DecisionRule
from genretag.predict.engine import EngineOptions
from genretag.predict.timeline import Timeline, listen
from sounds import make_sound

pytestmark = pytest.mark.xdist_group("browser")

# As a title or an attribute this would become markup; the marks turn writing round and clear screens.
NAME = "\"'><img src=x onerror=alert(1)><!--<script>${1}\u202e\x1b[2J" + 150 * "x" + ".flac"
SHOWN = "\"'><img src=x onerror=alert(1)><!--<script>${1}\\u202e\\u001b[2J" + 150 * "x" + ".flac"


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Timeline:
    path = make_sound(tmp_path_factory.mktemp("song") / NAME, 40.0, rate=16000, channels=1)
    return listen(
        path, resolve("auto"), EngineOptions(device="cpu", workers=1, coverage="full"), DecisionRule()
    )


@pytest.fixture(scope="module")
def embedded(song: Timeline) -> Path:
    return _write(song, "embedded.html", embed(song.path))


def _write(song: Timeline, name: str, sound: Sound) -> Path:
    path = song.path.with_name(name)
    path.write_bytes(page(song, ("</script><b>Rock</b>",), sound))
    return path


def _time(visit: Visit) -> float:
    return float(visit.tab.get_attribute("#plot", "aria-valuenow"))


def test_a_song_plays_and_the_cursor_follows(visit: Visitor, embedded: Path) -> None:
    with visit(embedded) as opened:
        tab = opened.tab
        opened.until("document.getElementById('audio').readyState > 0")
        assert abs(tab.evaluate("document.getElementById('audio').duration") - 40.0) < 0.1
        tab.click("#play")
        opened.until("Number(document.getElementById('plot').getAttribute('aria-valuenow')) > 0.2")
        assert tab.text_content("#play") == "Pause"
        assert tab.evaluate("document.getElementById('cursor').offsetLeft") > 0
        tab.click("#play")
        opened.until("document.getElementById('audio').paused")
        assert not opened.complaints
        assert all(address.startswith(("file:", "blob:", "data:")) for address in opened.asked)


def test_a_click_moves_the_time_in_the_sound_too(visit: Visitor, embedded: Path) -> None:
    with visit(embedded) as opened:
        tab = opened.tab
        opened.until("document.getElementById('audio').readyState > 0")
        box = tab.locator("#heat").bounding_box()
        tab.mouse.click(box["x"] + box["width"] * 0.75, box["y"] + 5)
        assert abs(_time(opened) - 30.0) < 0.5
        opened.until("Math.abs(document.getElementById('audio').currentTime - 30) < 0.5")
        assert tab.text_content("#now") == "0:30"
        assert tab.text_content("#totals .band") == "0:30"
        assert not opened.complaints


def test_the_keyboard_does_all_that_the_mouse_does(visit: Visitor, embedded: Path) -> None:
    with visit(embedded) as opened:
        tab = opened.tab
        opened.until("document.getElementById('audio').readyState > 0")
        tab.focus("#plot")
        for key, expected in (
            ("ArrowRight", 5.0),
            ("ArrowRight", 10.0),
            ("ArrowLeft", 5.0),
            ("End", 40.0),
            ("Home", 0.0),
        ):
            tab.keyboard.press(key)
            assert _time(opened) == expected
        tab.keyboard.press("Shift+ArrowRight")
        assert 2.5 < _time(opened) < 4.6
        tab.keyboard.press("Space")
        opened.until("!document.getElementById('audio').paused")
        tab.keyboard.press("Space")
        opened.until("document.getElementById('audio').paused")


def test_names_of_strangers_are_text(visit: Visitor, embedded: Path) -> None:
    with visit(embedded) as opened:
        assert opened.tab.text_content("h1") == SHOWN
        assert "</script><b>Rock</b>" in opened.tab.text_content("#facts")
        assert opened.tab.locator("img, main b").count() == 0
        assert not opened.complaints


def test_a_linked_song_plays_from_beside_the_page(visit: Visitor, song: Timeline) -> None:
    out = song.path.with_name("linked.html")
    with visit(_write(song, "linked.html", link(song.path, out))) as opened:
        tab = opened.tab
        tab.click("#play")
        opened.until("document.getElementById('audio').currentTime > 0.1")
        assert tab.is_hidden("#trouble")
        assert not opened.complaints


def test_a_song_that_is_gone_is_said_and_the_picture_still_answers(visit: Visitor, song: Timeline) -> None:
    with visit(_write(song, "gone.html", Sound(address="./moved.flac"))) as opened:
        tab = opened.tab
        tab.wait_for_selector("#trouble:visible")
        assert "--audio embed" in tab.text_content("#trouble")
        assert tab.is_hidden("#play")
        tab.focus("#plot")
        tab.keyboard.press("ArrowRight")
        assert _time(opened) == 5.0


def test_a_page_without_sound_has_no_play_button(visit: Visitor, song: Timeline) -> None:
    with visit(_write(song, "silent.html", Sound())) as opened:
        assert opened.tab.is_hidden("#play")
        opened.tab.click("#plot")
        assert _time(opened) > 0
        assert not opened.complaints


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_it_fits_and_axe_finds_nothing(
    visit: Visitor, axe: str, embedded: Path, width: int, theme: str
) -> None:
    with visit(embedded, width=width, theme=theme) as opened:
        tab = opened.tab
        assert opened.overflow() <= 0
        tab.click("#more")
        tab.click("summary")
        # Whole windows of 2.992 s in 40 s.
        opened.until("document.querySelectorAll('#windows tbody tr').length === 13")
        assert opened.overflow() <= 0
        assert opened.violations(axe) == []
        tab.click("#theme")
        assert opened.violations(axe) == []
        assert not opened.complaints


def test_the_theme_follows_the_system_until_a_person_chooses(visit: Visitor, embedded: Path) -> None:
    def lightness(opened: Visit) -> float:
        return float(
            opened.tab.evaluate("parseFloat(getComputedStyle(document.body).backgroundColor.slice(6))")
        )

    with visit(embedded, theme="dark") as opened:
        dark = lightness(opened)
        opened.tab.click("#theme")
        light = lightness(opened)
        assert dark < 0.3 < 0.9 < light
        opened.tab.reload()
        assert lightness(opened) == light
        opened.tab.click("#theme")
        assert lightness(opened) == dark


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_the_cursor_glides_only_where_motion_is_wanted(visit: Visitor, embedded: Path, motion: str) -> None:
    with visit(embedded, reduced_motion=motion) as opened:
        opened.tab.evaluate(
            "(() => { const ask = window.requestAnimationFrame; window.due = 0; window.most = 0;"
            "window.requestAnimationFrame = (what) => { if (what.name !== 'glide') return ask(what);"
            "due += 1; most = Math.max(most, due); return ask(() => { due -= 1; what(); }); }; })()"
        )
        opened.tab.click("#play")
        opened.until("document.getElementById('audio').currentTime > 1.2")
        assert opened.tab.evaluate("window.most") == (1 if motion == "no-preference" else 0)
        assert _time(opened) > 0.4
