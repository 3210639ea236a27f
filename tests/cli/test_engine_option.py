"""Without --engine nothing of Ray is touched; without Ray it says how to get it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from command import Command
from sounds import make_sound


def test_without_the_option_neither_ray_nor_a_storage_is_imported(tmp_path: Path) -> None:
    make_sound(tmp_path / "song.flac", 1.0)
    script = (
        "import sys; from genretag.__main__ import run; code = run(sys.argv[1:]);"
        "print(code, sorted({'ray', 's3fs', 'genretag.predict.stations'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", script, "tag", "-n", "-q", "--model", "musicnn-msd", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "0 []"


def test_without_ray_one_line_says_how_to_get_it(tmp_path: Path) -> None:
    make_sound(tmp_path / "song.flac", 1.0)
    # A machine without Ray: nothing of that name is found.
    script = (
        "import sys\n"
        "from importlib.machinery import PathFinder\n"
        "class WithoutRay(PathFinder):\n"
        "    @classmethod\n"
        "    def find_spec(cls, name, *more):\n"
        "        return None if name == 'ray' else PathFinder.find_spec(name, *more)\n"
        "sys.meta_path[sys.meta_path.index(PathFinder)] = WithoutRay\n"
        "from genretag.__main__ import main; main()\n"
    )
    command = [sys.executable, "-c", script, "tag", "-n", "--engine", "ray", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr == (
        "genretag: --engine ray: Ray is not installed; install the extra: pip install '.[cluster]'\n"
    )
    assert done.stdout == ""


def test_an_address_without_the_engine_is_a_mistake(genretag: Command, library: Path) -> None:
    answer = genretag("tag", "-n", "--ray-address", "auto", library)
    assert answer.code == 2
    assert "--engine ray" in answer.err
    answer = genretag("tag", "-n", "--engine", "spark", library)
    assert answer.code == 2
    assert "give one of local, ray" in answer.err
