"""The house keeps its shape: arrows between rooms go one way, and looking at the help costs nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "genretag"

# A room may import from the rooms of its own row and of the rows below it.
FLOORS = (
    {"__main__"},
    {"cli"},
    {"pages"},
    {"library", "diagnosis"},
    {"tagging", "training"},
    {"predict"},
    {"models", "datasets"},
    {"audio"},
    {"checkpoint"},
    {"journal"},
    {"journal_records"},
    {"store"},
    {"database", "places", "interruption"},
    {"labels"},
    {"files", "escapes", "mounts", "rows", "store_records", "tempdir"},
    {"errors"},
)
STRANGERS = [{"tagging", "training"}, {"models", "datasets"}]
# The checkpoint's description holds the record of its features; the record itself imports nothing.
ALLOWED_UPWARDS = {("checkpoint", "genretag.audio.features")}
ONLY_USER = {
    "mutagen": (
        "tagging/tags.py",
        *(f"tagging/formats/{name}.py" for name in ("asf", "comments", "id3", "mp4", "tcon")),
    ),
    "sqlite3": ("database.py", "store.py", "journal.py"),
    "ray": ("predict/connection.py", "predict/stations.py"),
    "fsspec": ("audio/remote.py",),
}


def floor(room: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def imports() -> list[tuple[Path, str]]:
    return [(path, module) for path in sorted(PACKAGE.rglob("*.py")) for module in imports_of(path)]


def imports_of(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def room_of(module: str) -> str | None:
    """Room of a dotted name of this package; None for the package's own name and for others."""
    parts = module.split(".")
    if parts[0] != "genretag" or len(parts) == 1 or parts[1] == "__version__":
        return None
    return parts[1]


def test_arrows_point_one_way() -> None:
    wrong = []
    for path, module in imports():
        relative = path.relative_to(PACKAGE)
        here, there = relative.parts[0].removesuffix(".py"), room_of(module)
        if there is None or here in (there, "__init__"):
            continue
        if any((here, module.rpartition(".")[0]) == allowed for allowed in ALLOWED_UPWARDS):
            continue
        if floor(there) < floor(here) or {here, there} in STRANGERS:
            wrong.append(f"{relative} -> {module}")
    assert not wrong


def test_the_plugin_stands_on_tagging() -> None:
    plugin = PACKAGE.parent / "beetsplug" / "genretag.py"
    rooms = {room_of(module) for module in imports_of(plugin)} - {None}
    assert "tagging" in rooms
    assert not [room for room in rooms if floor(room) < floor("tagging") or room == "training"]


@pytest.mark.parametrize("library", sorted(ONLY_USER))
def test_a_library_that_is_owned_has_one_user(library: str) -> None:
    users = {
        path.relative_to(PACKAGE).as_posix() for path, module in imports() if module.split(".")[0] == library
    }
    assert users
    assert users <= set(ONLY_USER[library])


@pytest.mark.parametrize("arguments", [["--help"], ["tag", "--help"], ["--version"]])
def test_help_imports_neither_torch_nor_librosa(arguments: list[str]) -> None:
    script = (
        "import sys; from genretag.__main__ import run; code = run(sys.argv[1:]);"
        "slow = {'torch', 'librosa', 'torchaudio', 'scipy', 'sklearn', 'ray', 'fsspec'};"
        "print(code, sorted(slow & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "0 []"


def test_modules_stay_readable() -> None:
    long = {
        str(path.relative_to(PACKAGE)): lines
        for path in PACKAGE.rglob("*.py")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 420
    }
    assert not long
