"""What a stage depends on, read from the code itself: imported files, artefacts and settings.

Imports anywhere in a module count, also those inside functions, except in the spine (`pipeline.stages`,
`pipeline.__main__`), where only the stage's own function counts. Imports under `if TYPE_CHECKING` do not.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = ("common", "llada", "data_prep", "adapters", "eval", "chat", "pipeline")
STAGE_FUNCTIONS = {
    "inputs": "inputs",
    "select": "select",
    "embed": "embed",
    "cluster": "cluster",
    "split": "split",
    "format": "format_",
    "train": "train_arguments",
    "evaluate": "evaluate",
    "report": "report",
}
ENTRIES = dict.fromkeys(STAGE_FUNCTIONS, "pipeline/__main__.py") | {"train": "train_adapter.py"}
NOT_PYTHON = {"report": {"eval/templates"}}


def code_dependencies(stage: str) -> set[str]:
    """Files and folders of ours that the stage runs, relative to the repository."""
    found: set[Path] = set()
    pending = [REPOSITORY / ENTRIES[stage]]
    while pending:
        path = pending.pop()
        if path in found:
            continue
        found.add(path)
        pending.extend(module for name in _imports_for(path, stage) for module in _files_of(name))
    return {str(path.relative_to(REPOSITORY)) for path in found} | NOT_PYTHON.get(stage, set())


def stage_function(stage: str) -> ast.FunctionDef:
    """The syntax tree of the stage's function in pipeline/stages.py."""
    name = STAGE_FUNCTIONS[stage]
    return next(
        node
        for node in _tree(REPOSITORY / "pipeline/stages.py").body
        if isinstance(node, ast.FunctionDef) and node.name == name
    )


def attributes_of(node: ast.AST, variable: str) -> set[str]:
    """Names used as `variable.NAME` anywhere under `node`."""
    return {
        child.attr
        for child in ast.walk(node)
        if isinstance(child, ast.Attribute) and isinstance(child.value, ast.Name) and child.value.id == variable
    }


def data_settings(stage: str, fields: Iterable[str]) -> set[str]:
    """Fields of the `data` section that the stage's own package code reads, as `data.FIELD`."""
    files = [
        REPOSITORY / name for name in code_dependencies(stage) if name.startswith("data_prep/") and name.endswith(".py")
    ]
    used = set[str]().union(*(attributes_of(_tree(path), "data") for path in files))
    return used & set(fields)


def _imports_for(path: Path, stage: str) -> Iterator[str]:
    tree = _tree(path)
    name = str(path.relative_to(REPOSITORY))
    if name == "pipeline/stages.py":
        outside = [node for node in tree.body if not isinstance(node, ast.FunctionDef)]
        yield from _imports([*outside, stage_function(stage)])
    else:
        yield from _imports(tree.body)


def _imports(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from _imports(node.orelse)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        else:
            yield from _imports(ast.iter_child_nodes(node))


def _files_of(module: str) -> Iterator[Path]:
    parts = module.split(".")
    if parts[0] not in PACKAGES:
        return
    for depth in range(1, len(parts) + 1):
        place = REPOSITORY.joinpath(*parts[:depth])
        yield from (path for path in (place / "__init__.py", place.with_suffix(".py")) if path.is_file())


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    for each in STAGE_FUNCTIONS:
        print(f"{each}:")
        for dependency in sorted(code_dependencies(each)):
            print(f"      - {dependency}")
