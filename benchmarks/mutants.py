"""Small faults put into the modules that matter most, one at a time: does a test notice?

    python -m benchmarks.mutants --module tagging/write.py --sample 60
    python -m benchmarks.mutants --sample 20 --seconds 900

A mutant differs in one place: a comparison or a boolean turned round, a number one higher, an `and` for an
`or`, a statement left out. The tests of the module run on a copy of the package, in processes too. Prints a
table and one JSON line, and on stderr the mutants that no test noticed. The sample is drawn by a seed.
"""

from __future__ import annotations

import argparse
import ast
import copy
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
TESTS = {
    "tagging/write.py": ("tagging/test_write.py", "tagging/test_undo.py", "tagging/test_recover.py"),
    "tagging/inplace.py": ("tagging/test_inplace.py",),
    "tagging/recover.py": ("tagging/test_recover.py", "tagging/test_inplace.py"),
    "tagging/undo.py": ("tagging/test_undo.py", "tagging/test_inplace.py"),
    "tagging/delta.py": ("tagging/test_delta.py",),
    "journal.py": ("test_journal.py", "tagging/test_recover.py", "tagging/test_undo.py"),
    "places.py": ("test_places.py",),
    "store.py": ("test_store.py",),
    "database.py": ("test_store.py",),
}
"""The modules and the tests that mirror them."""

TURNED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
}
LIMIT = 120.0
"""Seconds for the tests of one mutant; one that takes longer counts as noticed."""


@dataclass(frozen=True)
class Mutant:
    """One fault: where, what stands there now, and what stood there before."""

    module: str
    line: int
    before: str
    after: str


Change = Callable[[Any], None]


def mutants(module: str, source: str) -> Iterator[tuple[Mutant, str]]:
    """Every mutant of a module and its source."""
    tree = ast.parse(source)
    for number, node in enumerate(ast.walk(tree)):
        for told, change in _changes(node):
            changed = copy.deepcopy(tree)
            twin = next(islice(ast.walk(changed), number, None))
            change(twin)
            text = ast.unparse(ast.fix_missing_locations(changed))
            after = ast.unparse(twin) if told is node else "left out"
            yield Mutant(module, getattr(told, "lineno", 0), ast.unparse(told), after), text


def _changes(node: ast.AST) -> Iterator[tuple[ast.AST, Change]]:
    """What can be done to a node, and the part of it that this concerns."""
    if isinstance(node, ast.Compare):
        yield node, lambda twin: _turn(twin.ops)
    elif isinstance(node, ast.BoolOp | ast.BinOp) and type(node.op) in TURNED:
        yield node, lambda twin: setattr(twin, "op", TURNED[type(twin.op)]())
    elif isinstance(node, ast.Constant) and type(node.value) in (int, bool):
        yield node, lambda twin: setattr(twin, "value", _other(twin.value))
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node, lambda twin: setattr(twin, "operand", ast.UnaryOp(ast.Not(), twin.operand))
    elif isinstance(node, ast.FunctionDef | ast.If | ast.With | ast.Try | ast.For | ast.While):
        for number, statement in enumerate(node.body):
            # Without its names nothing works, and words are not what a test is to notice.
            if isinstance(statement, ast.Expr | ast.AugAssign | ast.Raise | ast.Return) and not (
                isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant | ast.Yield)
            ):
                yield statement, partial(_leave_out, number=number)


def _turn(operators: list[Any]) -> None:
    operators[0] = TURNED[type(operators[0])]()


def _other(value: int) -> int:
    return not value if isinstance(value, bool) else value + 1


def _leave_out(twin: Any, *, number: int) -> None:
    twin.body[number] = ast.Pass()


def survives(mutant: Mutant, text: str, package: Path, tests: Sequence[str]) -> bool:
    """Whether the tests of a module pass with the mutant in its place in a copy of the package."""
    place = package / "genretag" / mutant.module
    original = place.read_text(encoding="utf-8")
    place.write_text(text, encoding="utf-8")
    paths = os.pathsep.join((str(package), str(REPOSITORY)))
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:xdist", "-p", "no:cacheprovider"]
    try:
        done = subprocess.run(
            [*command, *(str(REPOSITORY / "tests" / name) for name in tests)],
            env=os.environ | {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"},
            cwd=REPOSITORY,
            capture_output=True,
            timeout=LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    finally:
        place.write_text(original, encoding="utf-8")
    return done.returncode == 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of this module; 1 where a module's tests fail without any fault."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--module", action="append", choices=sorted(TESTS), help="repeatable; default: all")
    parser.add_argument("--sample", type=int, default=20, help="mutants of each module (20)")
    parser.add_argument("--seconds", type=float, default=3600.0, help="stop drawing after this time")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    begun = time.monotonic()
    found: list[dict[str, Any]] = []
    print("| module | possible | tried | survived |\n| --- | ---: | ---: | ---: |", flush=True)
    with tempfile.TemporaryDirectory() as name:
        package = Path(name)
        shutil.copytree(REPOSITORY / "src", package, dirs_exist_ok=True)
        for module in options.module or TESTS:
            source = (REPOSITORY / "src" / "genretag" / module).read_text(encoding="utf-8")
            whole = Mutant(module, 0, "", "")
            if not survives(whole, source, package, TESTS[module]):
                print(f"{module}: its tests fail as it is", file=sys.stderr)
                return 1
            possible = list(mutants(module, source))
            random.Random(options.seed).shuffle(possible)
            tried, survivors = 0, []
            for mutant, text in possible[: options.sample]:
                if time.monotonic() - begun > options.seconds:
                    break
                tried += 1
                if survives(mutant, text, package, TESTS[module]):
                    survivors.append(mutant)
            row = {"module": module, "possible": len(possible), "tried": tried}
            found.append(row | {"survivors": [asdict(mutant) for mutant in survivors]})
            print(f"| {module} | {len(possible)} | {tried} | {len(survivors)} |", flush=True)
            for mutant in survivors:
                told = f"{_short(mutant.before)}  ->  {_short(mutant.after)}"
                print(f"{mutant.module}:{mutant.line}: {told}", file=sys.stderr, flush=True)
    print(json.dumps(found))
    return 0


def _short(text: str) -> str:
    return " ".join(text.split())[:160]


if __name__ == "__main__":
    sys.exit(main())
