"""What mypyc asks of the modules in setup.py's COMPILED, as far as it shows without compiling; `make test-compiled` has
the rest.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCES = ("xmppd", "extensions", "storage", "admin", "tests", "benchmarks")


def compiled() -> list[str]:
    """The paths in COMPILED."""
    for statement in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "COMPILED":
            return list(ast.literal_eval(statement.value))
    raise AssertionError("setup.py has no COMPILED")


def classes(path: Path) -> Iterator[ast.ClassDef]:
    return (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef))


def test_they_are_there_and_in_order() -> None:
    assert compiled() == sorted(set(compiled()))
    assert all((ROOT / path).is_file() for path in compiled())


def test_no_class_elsewhere_inherits_from_one_of_theirs() -> None:
    """It could not be made: "interpreted classes cannot inherit from compiled". A Protocol is met by having its
    methods.
    """
    theirs = {
        (path.removesuffix(".py").replace("/", "."), each.name)
        for path in compiled()
        for each in classes(ROOT / path)
    }
    inside = {(ROOT / path).resolve() for path in compiled()}
    found = []
    for path in (file for folder in SOURCES for file in (ROOT / folder).rglob("*.py")):
        if path.resolve() in inside:
            continue
        imported = {
            alias.asname or alias.name: (node.module or "", alias.name)
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        for each in classes(path):
            bases = {imported.get(ast.unparse(base).partition("[")[0]) for base in each.bases}
            found += [f"{path.relative_to(ROOT)}: {each.name}" for base in bases if base in theirs]
    assert not found
