"""`genretag map`: drafts from real files, checks, and the examples of docs/maps.md as they stand there."""

from __future__ import annotations

import itertools
import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from albums import let_sound, make_songs
from command import Command
from genretag.escapes import has_control
from genretag.tagging import tags
from genretag.tagging.genremap import load_map

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "maps.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, flags=re.S)
GENRES = (
    *(["Hip Hop"], ["Hip Hop", "Soundtrack"], ["hip-hop"], ["Rock"], ["Rock"], ["Rock"]),
    *(["Electornic"], ["Synthwave"], ["synthwave"], []),
)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Ten songs, nine of which name their genres."""
    folder = tmp_path / "Music"
    for song, genres in zip(make_songs(folder, len(GENRES)), GENRES, strict=True):
        if genres:
            tags.write(song, genres)
    return folder


def findings(genretag: Command, path: Path, *more: object) -> tuple[int, dict[str, tuple[str, bool]]]:
    """Exit code of a check, and what it found by rule."""
    answer = genretag("map", "check", path, "--json", *more)
    found = json.loads(answer.out)["findings"]
    return answer.code, {row["rule"]: (row["message"], row["fix"]) for row in found}


def test_a_draft_is_a_map_of_the_library_in_its_own_spelling(
    genretag: Command, library: Path, tmp_path: Path
) -> None:
    out = tmp_path / "mine.toml"
    assert genretag("map", "init", library, "--out", out).code == 0
    text = out.read_text()
    assert tomllib.loads(text) == {
        "allow": ["Hip Hop", "Rock", "Synthwave"],
        "broaden": True,
        "drop": [],
        "rename": {"Hip-Hop": "Hip Hop", "synthwave": "Synthwave"},
    }
    assert re.search(r'^  "Hip Hop", +# 3 files$', text, flags=re.M)
    assert re.search(r'^  # "Soundtrack", +# 1 file; auto cannot answer it$', text, flags=re.M)
    assert re.search(r'^"Hip-Hop" = "Hip Hop" +# "Hip Hop" 2, "hip-hop" 1$', text, flags=re.M)
    assert re.search(r'^# "Electornic" = "Electronic" +# a slip\? "Electornic" 1$', text, flags=re.M)
    assert load_map(out).apply(["Hip-Hop", "Hard Rock", "Jazz"]) == ("Hip Hop", "Rock")
    code, found = findings(genretag, out, library)
    assert (code, found) == (0, {})
    rows = json.loads(genretag("map", "check", out, library, "--json").out)["genres"]
    how = {row["genre"]: (row["how"], row["becomes"]) for row in rows}
    assert how["Rock"] == ("kept", ["Rock"])
    assert how["Hip-Hop"] == ("renamed", ["Hip Hop"])
    assert how["Hard Rock"] == ("broadened", ["Rock"])
    assert how["Jazz"] == ("not allowed", [])


def test_at_most_so_many(genretag: Command, library: Path, tmp_path: Path) -> None:
    for most in range(1, 6):  # whatever is left out, a draft has nothing to fix
        genretag("map", "init", library, "--most", most, "--out", tmp_path / f"{most}.toml")
        assert findings(genretag, tmp_path / f"{most}.toml", library) == (0, {})
    drafted = genretag("map", "init", library, "--most", "2")
    assert tomllib.loads(drafted.out)["allow"] == ["Hip Hop", "Rock"]
    document = json.loads(genretag("map", "init", library, "--most", "2", "--json").out)
    assert document["map"]["allow"] == ["Hip Hop", "Rock"]
    assert (document["files"], document["tagged"]) == (10, 9)
    first = document["genres"][0]
    assert first == {
        "genre": "Hip Hop",
        "files": 3,
        "spellings": {"Hip Hop": 2, "hip-hop": 1},
        "known": "Hip-Hop",
        "answered": True,
        "allowed": True,
    }
    assert genretag("map", "init", library, "--most", "0").code == 2


def test_a_draft_never_overwrites(genretag: Command, library: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine.toml"
    out.write_text("# edited\n")
    answer = genretag("map", "init", library, "--out", out)
    assert answer.code == 2
    assert answer.err == f"genretag: --out {out}: is there already; choose another name, or remove it first\n"
    assert out.read_text() == "# edited\n"


def test_without_genres_everything_is_allowed_until_a_person_chooses(
    genretag: Command, tmp_path: Path
) -> None:
    make_songs(tmp_path / "bare", 1)
    out = tmp_path / "mine.toml"
    answer = genretag("map", "init", tmp_path / "bare", "--out", out)
    assert "0 of 1 files name a genre" in answer.err
    assert load_map(out).apply(["Jazz"]) == ("Jazz",)
    assert '# "Jazz",' in out.read_text()


def test_names_that_toml_must_escape_survive(genretag: Command, tmp_path: Path) -> None:
    odd = ['"Say \\ what"', "# no comment", "Música Ñ"]
    (song,) = make_songs(tmp_path / "odd", 1)
    tags.write(song, odd)
    drafted = tomllib.loads(genretag("map", "init", song, "--most", "9").out)
    assert sorted(drafted["allow"]) == sorted(odd)


def test_a_draft_can_be_used_and_holds_no_control_character(genretag: Command, tmp_path: Path) -> None:
    (song,) = make_songs(tmp_path / "odd", 1)
    tags.write(song, ["Tab\tand\x7f", "Polka\x9b31m", "Jazz", "Rock; Pop"])
    out = tmp_path / "drafted.toml"
    assert genretag("map", "init", song, "--most", "9", "--out", out).code == 0
    text = out.read_text(encoding="utf-8")
    assert '# "Tab\\tand\\u007f",' in text
    assert '# "Polka\\u009b31m",' in text
    assert not {letter for letter in text if has_control(letter)} - {"\n"}
    assert load_map(out).allow == {"Jazz", "Pop", "Rock"}


def test_seen_files_are_counted_without_naming_them_and_what_the_model_heard_is_told(
    genretag: Command, library: Path, tmp_path: Path
) -> None:
    songs = sorted(library.iterdir())[:3]
    let_sound(genretag, dict(zip(songs, [{"jazz": 0.9}, {"jazz": 0.9}, {"rock": 0.8}], strict=True)))
    taste = tmp_path / "taste.toml"
    taste.write_text('allow = ["Rock"]\n')
    report = json.loads(genretag("map", "check", taste, "--model", "musicnn-msd", "--json").out)
    assert (report["files"], report["analysed"], report["left_without"]) == (3, 3, 2)
    rows = {row["genre"]: row for row in report["genres"]}
    assert rows["Jazz"] == {
        "genre": "Jazz",
        "becomes": [],
        "how": "not allowed",
        "tagged": 0,
        "heard": 2,
        "answered": True,
    }
    assert (rows["Rock"]["heard"], rows["Rock"]["how"]) == (1, "kept")
    assert (rows["Hip-Hop"]["tagged"], rows["Hip-Hop"]["answered"]) == (3, True)
    songs[0].unlink()
    report = json.loads(genretag("map", "check", taste, "--model", "musicnn-msd", "--json").out)
    assert report["files"] == 2
    shown = genretag("map", "check", taste, "--model", "musicnn-msd")
    assert shown.code == 0
    assert "left without a genre by the map: 1" in shown.err


@pytest.mark.parametrize(
    ("text", "rule", "message"),
    [
        ('drop = ["Popp"]', "drop Popp", "never applies: Popp is unknown; did you mean Pop?"),
        ('allow = ["Rokc"]', "allow Rokc", "never applies: Rokc is unknown; did you mean Rock?"),
        (
            'allow = ["Rock"]\ndrop = ["Rock"]',
            "allow Rock",
            "is dropped as well, and so never written; choose one",
        ),
        (
            'allow = ["Rock"]\n[rename]\n"Metal" = "Loud"',
            "rename Metal = Loud",
            "Loud is not on the allow-list: nothing is written; allow it or rename to another",
        ),
        (
            'drop = ["Loud"]\n[rename]\n"Metal" = "Loud"',
            "rename Metal = Loud",
            "Loud is dropped: nothing is written; allow it or rename to another",
        ),
        (
            'drop = ["Metal"]\n[rename]\n"Metal" = "Loud"',
            "rename Metal = Loud",
            "never applies: Metal is dropped before",
        ),
        (
            '[rename]\n"Metal" = "Rock"\n"Rock" = "Guitars"',
            "rename Metal = Rock",
            "gives Rock, not Guitars: renames do not chain; name Guitars",
        ),
        (
            '[rename]\n"hip hop" = "Rap"\n"Hip-Hop" = "Urban"',
            "rename Hip-Hop",
            "is the same genre as hip hop; the later rule counts, keep one",
        ),
        (
            'allow = ["Metal"]\n[parents]\n"Metal" = ["Rock"]',
            "parents Metal = Rock",
            "Rock is not on the allow-list and never added; allow it or remove it",
        ),
        ("broaden = true", "broaden", "does nothing without an allow-list; give one or remove it"),
        ('allow = ["Hörspiel"]', "allow", "of all that auto can answer nothing is left"),
    ],
)
def test_what_a_person_should_fix(
    genretag: Command, tmp_path: Path, text: str, rule: str, message: str
) -> None:
    path = tmp_path / "taste.toml"
    path.write_text(text + "\n")
    code, found = findings(genretag, path)
    assert code == 1
    assert found[rule] == (message, True)
    assert f"fix: {rule}: {message}" in genretag("map", "check", path).out


def test_a_rule_that_is_right_and_meets_nothing_is_a_note(genretag: Command, tmp_path: Path) -> None:
    path = tmp_path / "taste.toml"
    path.write_text('drop = ["Polka"]\n')
    code, found = findings(genretag, path)
    assert code == 0
    assert found == {"drop Polka": ("never applies here: neither auto nor a file says Polka", False)}
    assert "note: drop Polka" in genretag("map", "check", path).out


def test_a_missing_map_and_a_missing_folder_are_one_line(genretag: Command, tmp_path: Path) -> None:
    missing = genretag("map", "check", tmp_path / "no.toml")
    assert missing.code == 2
    assert missing.err == f"genretag: {tmp_path / 'no.toml'}: no such map file\n"
    assert genretag("map", "init", tmp_path / "nowhere").code == 2
    assert genretag("map").err == "genretag: Missing command. (see genretag map --help)\n"


@pytest.mark.parametrize("name", ["init", "check"])
def test_help_has_an_example(genretag: Command, name: str) -> None:
    assert f"Example: genretag map {name}" in genretag("map", name, "--help").out


def documented() -> list[tuple[str, str]]:
    """Every map of the page with the lines that say what it does."""
    return [
        (content, shown)
        for (kind, content), (after, shown) in itertools.pairwise(BLOCKS)
        if kind == "toml" and after == "text"
    ]


@pytest.mark.parametrize(("text", "shown"), documented())
def test_the_maps_of_the_page_do_what_it_says(tmp_path: Path, text: str, shown: str) -> None:
    path = tmp_path / "taste.toml"
    path.write_text(text)
    genre_map = load_map(path)
    for line in shown.splitlines():
        before, after = line.split(" -> ")
        wanted = () if after == "nothing" else tuple(after.split(", "))
        assert genre_map.apply(before.split(", ")) == wanted, line


def test_the_page_shows_every_kind_of_rule() -> None:
    maps = [tomllib.loads(text) for text, _ in documented()]
    assert len(maps) == sum(kind == "toml" for kind, _ in BLOCKS)
    assert {key for document in maps for key in document} == {"rename", "drop", "allow", "broaden", "parents"}


def test_the_commands_of_the_page_run(
    genretag: Command, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("taste.toml").write_text(documented()[0][0])
    lines = [line for kind, content in BLOCKS if kind == "sh" for line in content.splitlines()]
    assert len(lines) >= 5
    for line in lines:
        program, *arguments = shlex.split(line)
        assert program == "genretag"
        answer = genretag(*arguments)
        assert answer.code == 0, (line, answer.err)


def test_the_mistake_that_the_page_speaks_of_is_found(genretag: Command, tmp_path: Path) -> None:
    (text,) = [text for text, _ in documented() if "Country" in text]
    path = tmp_path / "taste.toml"
    path.write_text(text)
    code, found = findings(genretag, path)
    assert code == 1
    assert found["rename Country = Pop"][1]
