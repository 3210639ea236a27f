"""The pages made from the live commands say what the commands say now."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tools import manual


@pytest.mark.parametrize(("name", "made"), [("commands.md", manual.page), ("genretag.1", manual.manual)])
def test_a_page_is_up_to_date(name: str, made: object) -> None:
    assert (manual.DOCS / name).read_text(encoding="utf-8") == made(), "run: make docs"  # type: ignore[operator]


def test_every_option_and_example_is_there() -> None:
    entries = {entry.name: entry for entry in manual.entries()}
    assert {"genretag tag", "genretag watch", "genretag playlists", "genretag eval"} <= set(entries)
    assert all(entry.examples and entry.text and entry.options for entry in entries.values())
    assert all(each.help for entry in entries.values() for each in (*entry.arguments, *entry.options))
    tag = {each.names: each.default for each in entries["genretag tag"].options}
    assert tag["--top N"] == "3"
    assert tag["-n, --dry-run"] == ""


def test_the_manual_page_is_sound() -> None:
    if shutil.which("groff") is None:
        pytest.skip("no groff here")
    line = ["groff", "-man", "-ww", "-Tutf8", str(manual.DOCS / "genretag.1")]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    assert "EXIT STATUS" in done.stdout.replace("\b", "").replace("EEXXIITT SSTTAATTUUSS", "EXIT STATUS")
