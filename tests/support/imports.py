"""What a stage depends on, read from the code itself: imported files, artefacts and settings.

A stage's code begins at its file in `pipeline/stages`. Imports anywhere in a module count, also those inside functions;
imports under `if TYPE_CHECKING` do not, nor does a package's `__init__.py` that imports nothing of ours when it is
loaded, nor the lazy faces. The command line, the profile's loading and `train_adapter.py` stand before the stages: what
they hand over is compared by value, as the parameters of `dvc.yaml`.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

LONG = "LONG_TESTS" in os.environ
"""Whether tests that take minutes run whole; without it they take a sample, or skip, saying so."""
REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = (
    "common", "llada", "causal", "data_prep", "adapters", "training", "experiments", "release", "eval", "chat",
    "pipeline",
)  # fmt: skip
LAZY_FACES = ("llada", "adapters", "pipeline")
STAGES = ("inputs", "select", "embed", "cluster", "split", "format", "train", "evaluate", "report")
NOT_PYTHON = {"report": {"eval/report/templates"}}


def stage_file(stage: str) -> Path:
    return REPOSITORY / "pipeline" / "stages" / f"{stage}.py"


@cache
def code_dependencies(stage: str) -> frozenset[str]:
    """Files and folders of ours that the stage runs, relative to the repository."""
    files = imported_files(stage_file(stage))
    return frozenset({str(path.relative_to(REPOSITORY)) for path in files} | NOT_PYTHON.get(stage, set()))


def imported_files(first: Path) -> set[Path]:
    """The file itself and every file of ours that it imports, directly or through others."""
    reached: set[Path] = set()
    pending = [first]
    while pending:
        path = pending.pop()
        if path not in reached:
            reached.add(path)
            pending += imported_by(path)
    return reached


@cache
def imported_by(path: Path) -> tuple[Path, ...]:
    """The files of ours that a file imports by itself."""
    return tuple(module for name in imports(tree_of(path).body) for module in _files_of(name))


@cache
def attributes_of(path: Path, variable: str) -> frozenset[str]:
    """Names used as `variable.NAME` anywhere in a file."""
    return frozenset(
        node.attr
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == variable
    )


def names_in(path: Path) -> set[str]:
    return {node.id for node in ast.walk(tree_of(path)) if isinstance(node, ast.Name)}


def data_settings(stage: str, fields: Iterable[str]) -> set[str]:
    """Fields of the `data` section that the stage's own package code reads, as `data.FIELD`."""
    files = [name for name in code_dependencies(stage) if name.startswith("data_prep/") and name.endswith(".py")]
    return set[str]().union(*(attributes_of(REPOSITORY / name, "data") for name in files)) & set(fields)


def imports(nodes: Iterable[ast.AST], inside_functions: bool = True) -> Iterator[str]:
    """Names of imported modules, and of what is imported from them."""
    for node in nodes:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from imports(node.orelse, inside_functions)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif inside_functions or not isinstance(node, ast.FunctionDef):
            yield from imports(ast.iter_child_nodes(node), inside_functions)


@cache
def _files_of(module: str) -> tuple[Path, ...]:
    return tuple(_find_files(module))


def _find_files(module: str) -> Iterator[Path]:
    parts = module.split(".")
    if parts[0] not in PACKAGES:
        return
    for depth in range(1, len(parts) + 1):
        place = REPOSITORY.joinpath(*parts[:depth])
        face = place / "__init__.py"
        lazy = depth == 1 and parts[0] in LAZY_FACES
        if (
            face.is_file()
            and not lazy
            and any(name.split(".")[0] in PACKAGES for name in imports(tree_of(face).body, False))
        ):
            yield face
        if place.with_suffix(".py").is_file():
            yield place.with_suffix(".py")


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    for each in STAGES:
        print(f"{each}:")
        for dependency in sorted(code_dependencies(each)):
            print(f"      - {dependency}")
