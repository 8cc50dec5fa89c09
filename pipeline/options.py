"""What every command shares: the options, and how errors end.

Exit status: 0 done; 2 the input or configuration is wrong (one line per fault on stderr, no traceback); 130 and 143
interrupted after saving; 1 a fault of ours, with its traceback.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from common.errors import InputError

if TYPE_CHECKING:
    from pipeline.paths import Paths
    from pipeline.profile import Profile

T = TypeVar("T")
AdapterOption = Annotated[str, typer.Option("--method", metavar="M", help="The adapter's method.")]
SystemOption = Annotated[str, typer.Option("--method", metavar="M", help="base, or the adapter's method.")]
MethodsOption = Annotated[str, typer.Option("--methods", metavar="M[,M2]", help="Methods, with commas.")]
ProfileOption = Annotated[
    str | None,
    typer.Option("--profile", metavar="NAME", help="A profile under configs/. Default: the one in params.yaml."),
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the profile. Repeatable.")
]
ArtifactsOption = Annotated[
    Path | None,
    typer.Option(
        "--artifacts", metavar="DIR", help="Instead of artifacts/PROFILE; the report then goes to DIR/report."
    ),
]


@contextmanager
def running(
    command: str, profile: str | None, overrides: list[str] | None, artifacts: Path | None, *, distributed: bool = False
) -> Iterator[tuple[Profile, Paths]]:
    """What a command's body runs in: yields the validated profile and where its artefacts lie, and turns what goes
    wrong into the exit status.

    Args:
        distributed: the command shares its work among the processes of a launcher; any other refuses one.
    """
    with exit_status():
        if not distributed:
            refuse_distributed(command)
        yield load(profile, overrides, artifacts)


def load(profile: str | None, overrides: list[str] | None, artifacts: Path | None) -> tuple[Profile, Paths]:
    """The validated profile and where its artefacts lie."""
    from pipeline.paths import Paths
    from pipeline.profile import load_profile

    loaded = load_profile(profile or default_profile(), overrides or ())
    return loaded, Paths.of(loaded.name, artifacts)


def default_profile() -> str:
    """The profile that params.yaml chooses, `mini` where there is no such file here."""
    import yaml

    path = Path("params.yaml")
    if not path.is_file():
        return "mini"
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict) or not isinstance(values.get("profile"), str):
        raise InputError(f"{path}: profile is missing; write for example `profile: mini`")
    return values["profile"]


def values(option: str, text: str, of: Callable[[str], T]) -> list[T]:
    """The distinct values of an option that takes several, with commas."""
    try:
        distinct = list(dict.fromkeys(of(part.strip()) for part in text.split(",") if part.strip()))
    except ValueError:
        raise InputError(f"{option} {text}: not a list of values with commas between them") from None
    if not distinct:
        raise InputError(f"{option}: empty; name at least one value")
    return distinct


def positive(text: str) -> float:
    """A positive number."""
    number = float(text)
    if not 0 < number < float("inf"):
        raise ValueError(text)
    return number


def natural(text: str) -> int:
    """A whole number, 0 or more."""
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number


def refuse_distributed(stage: str) -> None:
    """Raises InputError where a launcher started this process as one of a group.

    The processes would all write the same files; and a sweep trains more than once, but a process has one process
    group, which ends with its first training.
    """
    if "LOCAL_RANK" in os.environ:
        number = os.environ.get("WORLD_SIZE", "1")
        raise InputError(
            f"{stage} runs in one process, and a launcher started this one in a group of {number}; "
            f"run `python -m pipeline {stage}` without `accelerate launch` or torchrun"
        )


@contextmanager
def exit_status() -> Iterator[None]:
    """Turn what went wrong into the exit status and the words that a user should see (once, from rank 0)."""
    _hush_libraries()
    try:
        yield
    except (InputError, ValueError) as error:
        faults = _faults(error)
        if faults is None:
            raise
        if os.environ.get("RANK", "0") == "0":
            for fault in faults:
                print(f"error: {fault}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


def _hush_libraries() -> None:
    """Silence notices about which a user can do nothing."""
    # peft asks transformers for a property by its old name.
    warnings.filterwarnings("ignore", message=r".*is_gradient_checkpointing", category=FutureWarning)
    # An optional faster NF4 kernel for the CPU, looked for on the hub.
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)


def _faults(error: ValueError) -> tuple[str, ...] | None:
    """The user's faults in an error; None when it is ours. llada's own error counts as the user's: a bad checkpoint."""
    if isinstance(error, InputError):
        return error.faults
    errors = sys.modules.get("llada.errors")
    if errors is not None and isinstance(error, errors.CheckpointError):
        return (" ".join(str(error).split()),)
    return None
