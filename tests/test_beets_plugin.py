"""The plugin in a real beets: a real import of real files, without the network."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from genretag.tagging import tags
from sounds import make_sound

pytest.importorskip("beets", reason="beets is not installed")
from mediafile import MediaFile

CONFIG = """
directory: {folder}/lib
library: {folder}/lib.db
plugins: genretag
import:
  timid: no
genretag:
  model: musicnn-msd
"""


class Beets:
    """A beets of its own, with two albums to import."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.configure("")
        songs = (("Low", "one.mp3", 1), ("Low", "two.flac", 2), ("High", "three.m4a", 3))
        for number, (album, name, seed) in enumerate(songs):
            (folder / "in" / album).mkdir(parents=True, exist_ok=True)
            song = MediaFile(make_sound(folder / "in" / album / name, seed=seed))
            song.update({"artist": "Somebody", "album": album, "title": Path(name).stem, "track": number + 1})
            song.save()

    def configure(self, more: str) -> None:
        (self.folder / "config.yaml").write_text(CONFIG.format(folder=self.folder) + more)

    def __call__(self, *arguments: object) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "beets", "-c", str(self.folder / "config.yaml"), *map(str, arguments)]
        return subprocess.run(
            line,
            env={**os.environ, "BEETSDIR": str(self.folder)},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    def genres(self) -> dict[str, str]:
        lines = self("ls", "-f", "$title=$genres").splitlines()
        return dict(line.split("=", 1) for line in lines)

    def in_files(self) -> dict[str, str]:
        files = [path for path in (self.folder / "lib").rglob("*.*") if path.is_file()]
        return {MediaFile(path).title: "; ".join(tags.read(path).genres) for path in files}

    def written_by_genretag(self) -> str:
        line = [sys.executable, "-m", "genretag", "history", "--json"]
        return subprocess.run(line, capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.fixture
def beet(tmp_path: Path) -> Beets:
    return Beets(tmp_path)


def test_an_import_sets_genres_in_the_library_and_in_the_files(beet: Beets) -> None:
    tags.write(beet.folder / "in" / "Low" / "two.flac", ["My Own"])
    before = {path: path.read_bytes() for path in (beet.folder / "in").rglob("*.*")}
    beet("import", "-A", "-q", beet.folder / "in")
    genres = beet.genres()
    assert set(genres) == {"one", "two", "three"}
    assert genres["two"] == "My Own"
    assert genres["one"]
    assert genres["three"]
    assert beet.in_files() == genres
    assert dict(line.split("=") for line in beet("ls", "-a", "-f", "$album=$genres").splitlines()) == {
        "Low": "; ".join([*genres["one"].split("; "), "My Own"][:3]),
        "High": genres["three"],
    }
    assert beet("ls", "-f", "$title", f"genres:{genres['three'].split('; ')[0]}").count("three") == 1
    # beets wrote, genretag did not: neither what was imported nor, by its journal, anything else.
    assert {path: path.read_bytes() for path in before} == before
    assert beet.written_by_genretag() == ""


def test_the_command_pretends_fills_in_and_forces(beet: Beets) -> None:
    beet.configure("  auto: no\n  top: 1\n")
    beet("import", "-A", "-q", beet.folder / "in")
    assert set(beet.genres().values()) == {""}
    assert beet("genretag", "--pretend", "title:one").startswith("Somebody - Low - one: ")
    assert set(beet.genres().values()) == {""}

    beet("genretag", "title:one")
    genres = beet.genres()
    assert [title for title, genre in genres.items() if genre] == ["one"]
    assert "; " not in genres["one"]
    assert beet.in_files() == genres

    (beet.folder / "map.toml").write_text(f'[rename]\n"{genres["one"]}" = "Renamed"\n')
    beet.configure("  auto: no\n  top: 1\n  map: map.toml\n  write: no\n")
    assert beet("genretag", "title:one") == ""  # it has one
    assert beet("genretag", "--force", "title:one") == "Somebody - Low - one: Renamed\n"
    assert beet.genres()["one"] == "Renamed"
    assert beet.in_files()["one"] == genres["one"]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("model: nonsense", "genretag: no model or file named 'nonsense'"),
        ("map: none.toml", "none.toml: no such map file"),
        ("existing: refresh", "genretag.existing: must be one of ['keep', 'add', 'replace']"),
    ],
)
def test_a_mistake_in_the_configuration_stops_an_import_before_it_begins(
    beet: Beets, setting: str, said: str
) -> None:
    config = (beet.folder / "config.yaml").read_text().replace("  model: musicnn-msd\n", f"  {setting}\n")
    (beet.folder / "config.yaml").write_text(config)
    done = beet.run("import", "-A", "-q", beet.folder / "in")
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (beet.folder / "lib").exists()


def test_a_file_that_cannot_be_heard_is_named_and_imported(beet: Beets) -> None:
    silent = beet.folder / "in" / "High" / "four.flac"
    song = MediaFile(make_sound(silent, level=0))
    song.update({"artist": "Somebody", "album": "High", "title": "four"})
    song.save()
    done = beet.run("import", "-A", "-q", beet.folder / "in" / "High")
    assert done.returncode == 0
    assert "four.flac" in done.stderr
    assert beet.genres()["four"] == ""
    assert beet.genres()["three"]
