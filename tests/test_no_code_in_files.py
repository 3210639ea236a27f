"""No file that genretag reads can hold code that it would run: the sources have nothing that does so."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "genretag"
RUNNERS = {
    "pickle",
    "cPickle",
    "_pickle",
    "dill",
    "cloudpickle",
    "joblib",
    "marshal",
    "shelve",
    "yaml",
    "subprocess",
}
BUILTINS = {"eval", "exec", "compile", "__import__"}
# What has to be said, so that a reader of numbers is no reader of objects.
SAFE = {"np.load": ("allow_pickle", False), "torch.load": ("weights_only", True)}
METHODS = {"os.system", "os.popen", "torch.jit.load", "torch.package", "hub.load"}


def doubtful(source: str) -> list[str]:
    """Imports and calls in a source that could run what a file says."""
    wrong = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            wrong += [alias.name for alias in node.names if alias.name.split(".")[0] in RUNNERS]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in RUNNERS:
            wrong.append(str(node.module))
        elif isinstance(node, ast.Call):
            name, said = ast.unparse(node.func), {keyword.arg: keyword.value for keyword in node.keywords}
            if name in BUILTINS or any(name.endswith(method) for method in METHODS):
                wrong.append(ast.unparse(node))
            elif name in SAFE:
                option, value = SAFE[name]
                given = said.get(option)
                if not isinstance(given, ast.Constant) or given.value is not value:
                    wrong.append(ast.unparse(node))
    return wrong


def test_nothing_here_runs_what_a_file_says() -> None:
    for path in PACKAGE.rglob("*.py"):
        assert not doubtful(path.read_text(encoding="utf-8")), path


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from joblib import load",
        "import yaml.reader",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=trusted)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "eval(text)",
        "os.system(line)",
    ],
)
def test_what_would_do_so_is_found(line: str) -> None:
    assert doubtful(line)


def test_what_reads_numbers_only_is_not() -> None:
    assert not doubtful(
        "np.load(path, allow_pickle=False); torch.load(path, weights_only=True); model.eval()"
    )
