"""The configuration file: its keys are the options, the command line beats it, mistakes are one line."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from command import Command
from genretag.cli import settings
from genretag.errors import ConfigError
from genretag.tagging import tags
from sounds import make_sound

SURE = ("--model", "musicnn-msd", "--threshold", "0")


@pytest.fixture
def config() -> Path:
    path = Path(os.environ["GENRETAG_HOME"], "config.toml")
    assert settings.path() == path
    return path


@pytest.fixture
def song(tmp_path: Path) -> Path:
    folder = tmp_path / "songs"
    folder.mkdir()
    return make_sound(folder / "song.mp3", 2.0)


def in_force(genretag: Command, command: str, option: str) -> tuple[object, str]:
    """Value and source of one option, as `config --json` tells them."""
    rows = json.loads(genretag("config", "--json").out)["options"]
    (row,) = [row for row in rows if (row["command"], row["option"]) == (command, option)]
    return row["value"], row["source"]


def test_command_line_beats_file_beats_default(genretag: Command, config: Path, song: Path) -> None:
    def genres(*more: str) -> int:
        (record,) = genretag("tag", "-n", "--json", *SURE, *more, song).records
        return len(record["genres"])

    assert genres() == 3
    config.write_text("[tag]\ntop = 2\n")
    assert genres() == 2
    assert genres("--top", "1") == 1


def test_the_table_of_the_command_beats_the_one_of_all(genretag: Command, config: Path) -> None:
    config.write_text('[tag]\ndevice = "cpu"\n\n[all]\ndevice = "mps"\nworkers = 2\n')
    assert in_force(genretag, "tag", "device") == ("cpu", f"{config}:2")
    assert in_force(genretag, "tag", "workers") == ("2", f"{config}:6")
    assert in_force(genretag, "train", "device") == ("mps", f"{config}:5")
    assert in_force(genretag, "tag", "existing") == ("keep", "default")


def test_a_switch_of_the_file_is_turned_off_on_the_command_line(
    genretag: Command, config: Path, song: Path
) -> None:
    config.write_text("[tag]\ndry-run = true\nno-cache = true\nmulti = true\n")
    (record,) = genretag("tag", "--json", *SURE, song).records
    assert record["status"] == "planned"
    (record,) = genretag("tag", "--json", "--no-dry-run", "--cache", *SURE, song).records
    assert record["status"] == "written"
    assert tags.read(song).genres == tuple(record["genres"])
    assert len(record["genres"]) == 3
    assert in_force(genretag, "tag", "single")[0] is False


def test_paths_of_the_file_are_meant_from_its_folder(genretag: Command, config: Path, song: Path) -> None:
    (config.parent / "taste.toml").write_text('allow = ["Jazz"]\n')
    config.write_text('[tag]\nmap = "taste.toml"\nexclude = ["skip*"]\n')
    (record,) = genretag("tag", "-n", "--json", *SURE, song).records
    assert set(record["genres"]) <= {"Jazz"}
    make_sound(song.parent / "skip me.mp3", 2.0, seed=1)
    assert len(genretag("tag", "-n", "--json", *SURE, song.parent).records) == 1


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[tag]\nexsting = 1\n", ":2: exsting of [tag]: there is no such option; did you mean existing?\n"),
        ("[tag]\nxyz = 1\n", ":2: xyz of [tag]: there is no such option; genretag config --all lists them\n"),
        ("[tag]\ntop = 'many'\n", ":2: top of [tag]: cannot be 'many'; give a whole number"),
        ("[tag]\ntop = true\n", ":2: top of [tag]: cannot be True; give a whole number"),
        ("[tag]\ndry-run = 'yes'\n", ":2: dry-run of [tag]: cannot be 'yes'; give true or false"),
        ("[tag]\nexclude = [1]\n", ":2: exclude of [tag]: cannot be [1]; give a list of texts"),
        ("[tag]\nmodel = 3\n", ":2: model of [tag]: cannot be 3; give text in quotes"),
        ("[tag]\nmin-confidence = 'high'\n", ":2: min-confidence of [tag]: cannot be 'high'; give a number"),
        (
            "\n[tag]\nexisting = 'keeps'\n",
            ":3: existing of [tag]: cannot be 'keeps'; give one of keep, add, replace, refresh; "
            "did you mean keep?",
        ),
        ("[tga]\ntop = 1\n", ":2: [tga] is no command; did you mean tag?"),
        ("top = 1\n", ":1: top stands in no table; put it below [tag]"),
        ("[all]\ndevise = 'cpu'\n", ":2: devise of [all]: there is no such option; did you mean device?"),
        ("[tag]\ntop == 1\n", ": not valid TOML: Invalid value (at line 2, column 6); correct or remove"),
        ("[tag]\nthreshold = 'many'\n", "--threshold many: give a probability"),
    ],
)
def test_what_is_wrong_is_one_line_that_says_where(
    genretag: Command, config: Path, song: Path, text: str, line: str
) -> None:
    config.write_text(text)
    answer = genretag("tag", "-n", song)
    assert answer.code == 2
    assert answer.out == ""
    assert answer.err.count("\n") == 1
    assert line in answer.err
    assert str(config) in answer.err


def test_a_broken_file_stops_neither_help_nor_the_way_back(
    genretag: Command, config: Path, song: Path
) -> None:
    before = song.read_bytes()
    assert genretag("tag", *SURE, song).code == 0
    config.write_text("[tag\n")
    assert genretag("--help").code == 0
    assert genretag("tag", "--help").code == 0
    assert genretag("config", "--path").out == f"{config}\n"
    assert genretag("config").code == 2
    undone = genretag("undo")
    assert undone.code == 0
    assert "not valid TOML" in undone.err.splitlines()[0]
    assert "undo goes on without it" in undone.err.splitlines()[0]
    assert song.read_bytes() == before


def test_a_mistake_in_the_table_of_another_command_stops_nothing(
    genretag: Command, config: Path, song: Path
) -> None:
    config.write_text("[train]\nepochs = 'all'\n")
    assert genretag("tag", "-n", *SURE, song).code == 0
    told = genretag("config")
    assert told.code == 2
    assert "epochs of [train]" in told.err


def test_set_and_unset_keep_comments(genretag: Command, config: Path) -> None:
    assert genretag("config", "set", "tag.top", "1").code == 0
    config.write_text("# mine\n[tag]\ntop = 1  # one is enough\n\n[history] # nothing here\n")
    assert genretag("config", "set", "tag.top", "2").out == f"{config}: tag.top = 2\n"
    genretag("config", "set", "tag.exclude", "*.part", "*.tmp")
    genretag("config", "set", "tag.dry-run", "yes")
    assert config.read_text() == (
        '# mine\n[tag]\ntop = 2  # one is enough\nexclude = ["*.part", "*.tmp"]\ndry-run = true\n\n'
        "[history] # nothing here\n"
    )
    assert "removed" in genretag("config", "unset", "tag.dry-run").out
    assert "not set" in genretag("config", "unset", "tag.dry-run").out
    assert in_force(genretag, "tag", "dry-run") == (False, "default")
    assert in_force(genretag, "tag", "exclude") == (["*.part", "*.tmp"], f"{config}:4")
    genretag("config", "set", "map.init.most", "20")
    assert in_force(genretag, "map.init", "most")[0] == 20


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("tag.tops", "1"), "tag.tops: tag has no such option; did you mean top?"),
        (("tags.top", "1"), "tags.top: give COMMAND.OPTION, such as tag.top; did you mean tag?"),
        (("top", "1"), "top: give COMMAND.OPTION, such as tag.top"),
        (("tag.top", "many"), "tag.top cannot be 'many'; give a whole number"),
        (("tag.existing", "kept"), "tag.existing cannot be 'kept'; give one of keep, add, replace, refresh"),
        (("tag.top", "1", "2"), "--top takes one value"),
    ],
)
def test_set_refuses_what_no_option_can_be(
    genretag: Command, config: Path, arguments: tuple[str, ...], said: str
) -> None:
    answer = genretag("config", "set", *arguments)
    assert answer.code == 2
    assert said in answer.err
    assert not config.exists()


def test_config_shows_what_is_in_force(genretag: Command, config: Path) -> None:
    shown = genretag("config")
    assert shown.code == 0
    assert shown.out.startswith(f"{config} (not there yet; genretag config set tag.top 1 makes it)")
    config.write_text("[tag]\ntop = 1\n")
    lines = genretag("config").out.splitlines()
    assert lines[0] == str(config)
    assert ["tag.top", "1", "line", "2"] in [line.split() for line in lines]
    assert not any(line.split()[:1] == ["train.epochs"] for line in lines)
    assert any(line.split()[:1] == ["train.epochs"] for line in genretag("config", "--all").out.splitlines())


@pytest.mark.parametrize(
    "text", ["tag.top = 1\n", "tag = {top = 1}\n", "[tag]\ntop = 1\n", "[ tag ]\n'top'=1"]
)
def test_every_way_to_write_a_table_can_be_edited(genretag: Command, config: Path, text: str) -> None:
    config.write_text(text)
    assert in_force(genretag, "tag", "top")[0] == 1
    settings.remember("tag", "top", 2)
    settings.remember("tag", "model", "musicnn-msd")
    assert in_force(genretag, "tag", "top")[0] == 2
    assert in_force(genretag, "tag", "model")[0] == "musicnn-msd"
    assert settings.forget("tag", "top") == config
    assert settings.forget("tag", "top") is None
    assert in_force(genretag, "tag", "top") == (3, "default")


def test_both_sides_of_a_switch_can_be_set(genretag: Command) -> None:
    assert genretag("config", "set", "tag.multi", "on").code == 0
    assert in_force(genretag, "tag", "single")[0] is False


def test_remember_writes_one_key_through_a_link(config: Path, tmp_path: Path) -> None:
    real = tmp_path / "dotfiles.toml"
    real.write_text("# kept\n")
    config.symlink_to(real)
    assert settings.remember("tag", "model", tmp_path / "mine.safetensors") == real
    assert config.is_symlink()
    assert real.read_text().startswith("# kept\n")
    found = settings.read()
    assert found is not None
    (entry,) = found.entries
    assert (entry.table, entry.key, entry.value) == ("tag", "model", str(tmp_path / "mine.safetensors"))
    assert found.where(entry) == f"{config}:{entry.line}"


def test_a_broken_file_is_not_written_over(config: Path) -> None:
    config.write_text("[tag\n")
    with pytest.raises(ConfigError, match="not valid TOML"):
        settings.remember("tag", "model", "auto")
    config.write_text("tag = 1\n")
    with pytest.raises(ConfigError, match="tag must be a table"):
        settings.remember("tag", "model", "auto")
    assert config.read_text() == "tag = 1\n"


def test_without_a_home_of_its_own_the_file_is_in_the_users_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("GENRETAG_HOME")
    if sys.platform.startswith("linux"):
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
        assert settings.path() == tmp_path / "genretag" / "config.toml"
    assert settings.path().name == "config.toml"


def test_a_run_without_a_file_loads_nothing_to_read_one() -> None:
    script = (
        "import sys; from genretag.__main__ import run; run(['history']);"
        "print(sorted({'tomlkit', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


PAGE = (Path(__file__).resolve().parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, flags=re.S)


def test_the_page_is_true(
    genretag: Command, config: Path, song: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (example,) = [content for kind, content in BLOCKS if kind == "toml"]
    config.write_text(example)
    (config.parent / "taste.toml").touch()
    song.parent.rename(tmp_path / "Music")
    monkeypatch.chdir(tmp_path)
    lines = [line for kind, content in BLOCKS if kind == "sh" for line in content.splitlines()]
    for line in lines:
        program, *arguments = shlex.split(line, comments=True)
        assert program == "genretag"
        answer = genretag(*arguments)
        assert answer.code == 0, (line, answer.err)
    assert in_force(genretag, "tag", "by") == ("album", f"{config}:2")  # `unset` took a line away
    (error,) = [content for kind, content in BLOCKS if kind == "text"]
    config.write_text("[tag]\nexsting = 'keep'\n")
    said = genretag("tag", "Music").err
    assert said == error.replace("/home/ann/.config/genretag/config.toml", str(config))
