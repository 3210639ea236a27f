"""SQL is written in the sources and nowhere else: what comes from outside goes in as parameters."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "genretag"
# Methods whose first argument is SQL. Those of our own pass a parameter on, so calls of them count too.
RUN = {"execute", "executemany", "executescript"}
PASS_ON = {"row": "sql", "rows": "sql", "_select": "condition"}


class Constants:
    """What in a module is certainly made of its own words, seen from one function."""

    def __init__(self, module: ast.Module, function: ast.AST | None) -> None:
        self.module, self.function = module, function

    def holds(self, node: ast.expr) -> bool:
        match node:
            case ast.Constant():
                return True
            case ast.JoinedStr(values=parts):
                return all(self.holds(part) for part in parts)
            case ast.FormattedValue(value=value):
                return self.holds(value)
            case ast.IfExp(body=yes, orelse=no):
                return self.holds(yes) and self.holds(no)
            case ast.BinOp(left=left, op=ast.Mult()):
                return self.holds(left)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return self.holds(left) and self.holds(right)
            case ast.Subscript(value=value):
                return self.holds(value)
            case ast.Call(func=ast.Attribute(value=value, attr="join" | "split"), args=arguments):
                return self.holds(value) and all(map(self.holds, arguments))
            case ast.Call(func=ast.Name(id=name)):
                return self._returns(name)
            case ast.Name(id=name):
                return self._named(name)
        return False

    def _named(self, name: str) -> bool:
        """A name given once, here or in the module, to constants; a parameter of what passes SQL on."""
        own, scope = self.function, self.module
        if isinstance(own, ast.FunctionDef):
            if PASS_ON.get(own.name) == name:
                return True
            if name in {argument.arg for argument in (*own.args.args, *own.args.kwonlyargs)}:
                return False
            if given := assigned(own, name):
                return all(map(self.holds, given))
        given = assigned(scope, name)
        return bool(given) and all(Constants(self.module, None).holds(value) for value in given)

    def _returns(self, name: str) -> bool:
        for node in self.module.body:
            if isinstance(node, ast.FunctionDef) and node.name == name:
                given = [inner.value for inner in ast.walk(node) if isinstance(inner, ast.Return)]
                return all(value is not None and Constants(self.module, node).holds(value) for value in given)
        return False


def assigned(scope: ast.AST, name: str) -> list[ast.expr]:
    """Everything that a name is given in a function, or at the top of a module."""
    nodes = ast.walk(scope) if isinstance(scope, ast.FunctionDef) else scope.body  # type: ignore[attr-defined]
    found = []
    for node in nodes:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.NamedExpr) and any(
            isinstance(target, ast.Name) and target.id == name for target in targets
        ):
            found.append(node.value)
    return [value for value in found if value is not None]


def doubtful(source: str) -> list[str]:
    """SQL in a source that is not made of constants, as (line: code)."""
    module = ast.parse(source)
    inside = {}
    for function in ast.walk(module):
        if isinstance(function, ast.FunctionDef):
            # Nested functions come later and win.
            inside |= dict.fromkeys(ast.walk(function), function)
    wrong = []
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            name = node.func.attr
            if name in RUN or name in PASS_ON:
                sql = [*node.args, *(keyword.value for keyword in node.keywords)][:1]
                if not all(Constants(module, inside.get(node)).holds(text) for text in sql):
                    wrong.append(f"{node.lineno}: {ast.unparse(node)}")
    return wrong


def test_all_sql_is_constant() -> None:
    checked = 0
    for path in PACKAGE.rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        if "sqlite3" in source or ".transaction(" in source:
            checked += source.count("execute(")
            assert not doubtful(source), path
    assert checked > 20


@pytest.mark.parametrize(
    "line",
    [
        'connection.execute(f"SELECT * FROM {table}")',
        'connection.execute("SELECT " + column)',
        'connection.execute("SELECT %s" % column)',
        'connection.execute("SELECT {}".format(column))',
        "connection.execute(column)",
        'connection.executescript(f"DROP {self.name}")',
        'self.rows(f"SELECT {column}")',
        'self._select(f"path = {path}", ())',
        'made = "SELECT "; made += column; connection.execute(made)',
        'connection.execute(", ".join(columns))',
    ],
)
def test_sql_made_of_anything_else_is_found(line: str) -> None:
    source = f"def read(connection, table, column, path, columns):\n    {line}\n"
    assert doubtful(source)


def test_constants_of_many_shapes_are_allowed() -> None:
    assert not doubtful(
        "_A = 'a, b'\n"
        "def marks(row): return ', '.join('?' * len(row))\n"
        "def read(connection, row, deep):\n"
        "    table = 'x' if deep else 'y'\n"
        "    connection.execute(f'SELECT {_A} FROM {table} WHERE {marks(row)}', row)\n"
        "    connection.execute(f'SELECT {_A.split(\", \")[1:]}')\n"
    )
