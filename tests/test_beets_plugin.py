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
{importing}
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

    def configure(self, more: str, importing: str = "") -> None:
        text = CONFIG.format(folder=self.folder, importing=f"  {importing}" if importing else "")
        (self.folder / "config.yaml").write_text(text + more)

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


def warnings(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the plugin's lines of stderr; beets itself names the folders there."""
    return [line for line in done.stderr.splitlines() if line.startswith("genretag: ")]


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


WRONG_OPTIONS = [
    ("model: nonsense", "genretag.model: no model or file named 'nonsense'; models: "),
    ("model: config.yaml", "genretag.model: "),
    ("model: 5", "genretag.model: must be a name of `genretag models`, or a checkpoint file, not 5"),
    ("map: none.toml", "none.toml: no such map file"),
    ("map: no", "genretag.map: must be a map file, not False"),
    ("existing: refresh", "genretag.existing: must be one of ['keep', 'add', 'replace'], not 'refresh'"),
    ("top: 0", "genretag.top: must be a whole number from 1 up, not 0"),
    ("top: -1", "genretag.top: must be a whole number from 1 up, not -1"),
    ("top: many", "genretag.top: must be a whole number from 1 up, not 'many'"),
    ("top: 2.5", "genretag.top: must be a whole number from 1 up, not 2.5"),
    ("min_confidence: 70", "genretag.min_confidence: must be a number from 0 to 1, not 70"),
    ("min_confidence: high", "genretag.min_confidence: must be a number from 0 to 1, not 'high'"),
    ("min_confidence: .nan", "genretag.min_confidence: must be a number from 0 to 1, not nan"),
    ("write: perhaps", "genretag.write: must be yes or no, not 'perhaps'"),
    ("auto: perhaps", "genretag.auto: must be yes or no, not 'perhaps'"),
    ("min_confidance: 0.5", "genretag: unknown option 'min_confidance'; did you mean 'min_confidence'?"),
    ("zzz: 1", "genretag: unknown option 'zzz'; known: auto, model, existing, top, "),
]


def option(beet: Beets, setting: str) -> None:
    """Set one option of the plugin; the file of `model: config.yaml` is beets' own configuration."""
    beet.configure("")
    config = (beet.folder / "config.yaml").read_text()
    if setting.startswith("model: "):
        config = config.replace("  model: musicnn-msd\n", "")
        setting = setting.replace("config.yaml", str(beet.folder / "config.yaml"))
    (beet.folder / "config.yaml").write_text(f"{config}  {setting}\n")


@pytest.mark.parametrize(("setting", "said"), WRONG_OPTIONS)
def test_a_wrong_option_is_refused_before_anything_is_imported(beet: Beets, setting: str, said: str) -> None:
    before = {path: path.read_bytes() for path in (beet.folder / "in").rglob("*.*")}
    option(beet, setting)
    done = beet.run("import", "-A", "-q", beet.folder / "in")
    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert {path: path.read_bytes() for path in (beet.folder / "in").rglob("*.*")} == before
    assert not (beet.folder / "lib").exists()
    beet.configure("")
    assert beet.genres() == {}


def test_a_wrong_option_is_refused_by_the_command(beet: Beets) -> None:
    beet.configure("  auto: no\n")
    beet("import", "-A", "-q", beet.folder / "in" / "Low")
    before = {path: path.read_bytes() for path in (beet.folder / "lib").rglob("*.*")}
    for setting, said in WRONG_OPTIONS[::3]:
        option(beet, setting)
        done = beet.run("genretag", "--force")
        assert (done.returncode, done.stdout) == (1, "")
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert {path: path.read_bytes() for path in (beet.folder / "lib").rglob("*.*")} == before
    beet.configure("")
    assert set(beet.genres().values()) == {""}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("genretag: yes", "genretag: must be options and their values, not True"),
        ("genretag: [top, 2]", "genretag: must be options and their values, not ['top', 2]"),
        ("genretag:", None),
    ],
)
def test_the_configuration_is_a_mapping_or_empty(beet: Beets, text: str, said: str | None) -> None:
    config = (beet.folder / "config.yaml").read_text()
    (beet.folder / "config.yaml").write_text(config.partition("genretag:\n")[0] + text + "\n")
    done = beet.run("genretag", "--pretend")
    assert done.returncode == (0 if said is None else 1)
    assert done.stderr == ("" if said is None else f"error: {said}\n")


def test_without_auto_a_model_that_is_missing_does_not_stop_an_import(beet: Beets) -> None:
    config = (beet.folder / "config.yaml").read_text()
    (beet.folder / "config.yaml").write_text(config.replace("musicnn-msd", "nonsense\n  auto: no"))
    beet("import", "-A", "-q", beet.folder / "in" / "Low")
    assert beet.genres() == {"one": "", "two": ""}
    assert beet.run("genretag").returncode == 1


@pytest.mark.parametrize(
    ("importing", "flags", "why"),
    [
        ("copy: yes", [], None),
        ("copy: yes", ["--move"], None),
        ("reflink: auto", [], None),
        ("hardlink: yes", [], "hard links: 2"),
        ("link: yes", [], "symbolic links: 2"),
        ("copy: yes", ["--nocopy"], "imported in place: 2"),
    ],
)
def test_an_import_as_is_writes_only_files_of_its_own(
    beet: Beets, importing: str, flags: list[str], why: str | None
) -> None:
    beet.configure("", importing)
    album = beet.folder / "in" / "Low"
    before = {path: path.read_bytes() for path in sorted(album.iterdir())}
    done = beet.run("import", "-A", "-q", *flags, album)
    assert done.returncode == 0, done.stderr
    genres = beet.genres()
    assert set(genres) == {"one", "two"}
    assert all(genres.values())
    if why is None:
        assert warnings(done) == []
        assert beet.in_files() == genres
    else:
        assert warnings(done) == [
            "genretag: stored the genres of 2 files in the beets library only, because writing them would "
            f"change the original files ({why}); to write them anyway, run: beet write"
        ]
    if "--move" in flags:
        assert not any(path.exists() for path in before)
    else:
        assert {path: path.read_bytes() for path in before} == before


def test_files_already_in_their_destination_are_not_copied_and_not_written(beet: Beets) -> None:
    beet.configure("  auto: no\n")
    beet("import", "-A", "-q", beet.folder / "in" / "Low")
    (beet.folder / "lib.db").unlink()
    beet.configure("")
    before = {path: path.read_bytes() for path in (beet.folder / "lib").rglob("*.*")}
    done = beet.run("import", "-A", "-q", beet.folder / "lib")
    assert "(imported in place: 2)" in done.stderr
    assert all(beet.genres().values())
    assert {path: path.read_bytes() for path in (beet.folder / "lib").rglob("*.*")} == before


def test_a_moved_file_is_not_written_while_it_has_another_name_or_is_a_link(beet: Beets) -> None:
    album, originals = beet.folder / "in" / "Low", beet.folder / "originals"
    originals.mkdir()
    (album / "one.mp3").rename(originals / "one.mp3")
    (album / "one.mp3").symlink_to(originals / "one.mp3")
    (originals / "two.flac").hardlink_to(album / "two.flac")
    before = {path: path.read_bytes() for path in originals.iterdir()}
    done = beet.run("import", "-A", "-q", "--move", album)
    (warning,) = warnings(done)
    assert "(hard links: 1, symbolic links: 1)" in warning
    assert all(beet.genres().values())
    assert {path: path.read_bytes() for path in originals.iterdir()} == before


@pytest.mark.parametrize(("how", "why"), [("hardlink", "hard links"), ("link", "symbolic links")])
def test_the_command_does_not_write_through_links_and_beet_write_does(
    beet: Beets, how: str, why: str
) -> None:
    beet.configure("  auto: no\n", f"{how}: yes")
    album = beet.folder / "in" / "Low"
    beet("import", "-A", "-q", album)
    before = {path: path.read_bytes() for path in album.iterdir()}
    done = beet.run("genretag", "title:one")
    assert done.returncode == 0
    assert "stored the genres of 1 file in the beets library only, because " in done.stderr
    assert f"({why}: 1); to write them anyway, run: beet write\n" in done.stderr
    assert beet.genres()["one"]
    assert {path: path.read_bytes() for path in album.iterdir()} == before
    assert beet.run("genretag", "--pretend", "title:two").stderr == ""

    beet("write", "title:one")
    assert beet.in_files()["one"] == beet.genres()["one"]
    # A file with one name left is the library's own.
    if how == "hardlink":
        (album / "two.flac").unlink()
        assert beet.run("genretag", "title:two").stderr == ""
        assert beet.in_files()["two"] == beet.genres()["two"]


SOURCE = """
from beets.autotag import AlbumInfo, TrackInfo
from beets.metadata_plugins import MetadataSourcePlugin


class SourcePlugin(MetadataSourcePlugin):
    def _album(self):
        tracks = [
            TrackInfo(title=title, track_id=title, index=index, artist="Somebody", data_source="Source")
            for index, title in enumerate(("one", "two"), start=1)
        ]
        return AlbumInfo(
            tracks=tracks, album="Low", album_id="low", artist="Somebody", artist_id="s",
            year=1999, data_source="Source",
        )

    def candidates(self, items, artist, album, va_likely):
        return [self._album()]

    def item_candidates(self, item, artist, title):
        return []

    def album_for_id(self, album_id):
        return self._album()

    def track_for_id(self, track_id):
        return None
"""


@pytest.mark.parametrize("importing", ["hardlink: yes", "copy: yes"])
def test_a_matched_import_leaves_the_writing_to_beets(beet: Beets, importing: str) -> None:
    (beet.folder / "plugins" / "beetsplug").mkdir(parents=True)
    (beet.folder / "plugins" / "beetsplug" / "source.py").write_text(SOURCE)
    beet.configure("match:\n  strong_rec_thresh: 0.9\n", importing)
    config = (
        (beet.folder / "config.yaml").read_text().replace("plugins: genretag", "plugins: genretag source")
    )
    (beet.folder / "config.yaml").write_text(f"pluginpath: {beet.folder}/plugins/beetsplug\n{config}")
    done = beet.run("import", "-q", beet.folder / "in" / "Low")
    assert done.returncode == 0, done.stderr
    assert beet("ls", "-f", "$year", "title:one") == "1999\n"
    assert beet.in_files() == beet.genres()
    assert all(beet.genres().values())
    assert "beets library only" not in done.stderr


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
