"""What every command shares: the options, and how errors end.

Exit status: 0 done; 2 the input or configuration is wrong (one line per fault on stderr, no traceback); 130 and 143
interrupted after saving; 1 a fault of ours, with its traceback.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from common.environment import (
    forgiving_streams,
    no_proxy_for_loopback,
    tell_libraries_of_processors,
    writable_caches,
)
from common.errors import InputError, in_words, one_line
from common.locks import turn
from common.section import LARGEST_SEED
from pipeline.stage_output import stage_output

if TYPE_CHECKING:
    from pipeline.paths import Paths
    from pipeline.profile import Profile

T = TypeVar("T")
MOST_FAULTS = 20  # lines that a user is told at once
_ClickError: Any = typer.BadParameter.__mro__[2]  # of click, or of the copy that newer typers carry
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
        settings, paths = load(profile, overrides, artifacts)
        with stage_output(settings, paths):
            yield settings, paths


@contextmanager
def taking_turns(stage: str, paths: Paths) -> Iterator[None]:
    """Hold a stage's turn on these artefacts, so that two processes never write the same files at once.

    Raises:
        InputError: another process runs the same stage here, and goes on doing so.
    """
    if os.environ.get("RANK", "0") != "0" or not (stage == "inputs" or paths.root.is_dir()):
        yield  # one process speaks for its launcher's group; without a folder there is nothing to write yet
        return
    with turn(
        paths.scratch / "locks" / stage,
        f"{paths.root}: another process runs {stage} on these artefacts; wait for it or stop it",
    ):
        yield


def load(profile: str | None, overrides: list[str] | None, artifacts: Path | None) -> tuple[Profile, Paths]:
    """The validated profile and where its artefacts lie."""
    from pipeline.paths import Paths
    from pipeline.profile import load_profile

    if artifacts is not None and os.path.lexists(artifacts) and not artifacts.is_dir():
        raise InputError(f"--artifacts {artifacts}: not a folder; name one, or a new one")
    loaded = load_profile(profile or default_profile(), overrides or ())
    return loaded, Paths.of(loaded.name, artifacts)


def default_profile() -> str:
    """The profile that params.yaml chooses, `mini` where there is no such file here."""
    from common.yaml_text import read_yaml

    path = Path("params.yaml")
    if not path.is_file():
        return "mini"
    values = read_yaml(path)
    if not isinstance(values, dict) or not isinstance(values.get("profile"), str):
        raise InputError(f"{path}: profile is missing; write for example `profile: mini`")
    return values["profile"]


def values(option: str, text: str, of: Callable[[str], T]) -> list[T]:
    """The distinct values of an option that takes several, with commas."""
    try:
        distinct = list(dict.fromkeys(of(part.strip()) for part in text.split(",") if part.strip()))
    except ValueError as error:
        raise InputError(f"{option} {text}: {error}; separate values with commas") from None
    if not distinct:
        raise InputError(f"{option}: empty; name at least one value")
    return distinct


def positive(text: str) -> float:
    """A positive number."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise ValueError(f"{text!r} is not a positive number")
    return number


def natural(text: str) -> int:
    """A seed: a whole number from 0 to LARGEST_SEED."""
    try:
        number = int(text)
    except ValueError:  # also of thousands of digits
        number = -1
    if not 0 <= number <= LARGEST_SEED:
        raise ValueError(f"{text!r} is not a whole number from 0 to {LARGEST_SEED}")
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


def main(app: typer.Typer) -> None:
    """Run a command line from its first character: what is wrong with the options ends like any other fault."""
    with exit_status():
        try:
            sys.exit(app(standalone_mode=False))
        except typer.Abort:
            raise KeyboardInterrupt from None
        except _ClickError as error:
            if type(error).__name__ != "NoArgsIsHelpError":  # whose message is the help
                error.message = one_line(error.message, 200)
            error.show()
            sys.exit(error.exit_code)


@contextmanager
def exit_status() -> Iterator[None]:
    """Turn what went wrong into the exit status and the words that a user should see (once, from rank 0)."""
    forgiving_streams()
    writable_caches()
    no_proxy_for_loopback()
    tell_libraries_of_processors()
    _hush_libraries()
    with _ended_by_sigterm():
        try:
            yield
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            sys.exit(130)
        except BrokenPipeError:  # the reader of our output has left
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(141)
        except Exception as error:
            faults = faults_of(error)
            if faults is None:
                raise
            if os.environ.get("RANK", "0") == "0":
                for fault in faults[:MOST_FAULTS]:
                    print(f"error: {fault}", file=sys.stderr)
                if len(faults) > MOST_FAULTS:
                    print(f"error: and {len(faults) - MOST_FAULTS} more", file=sys.stderr)
            sys.exit(2)


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends this process with status 143 and what it holds tidied up, until a handler of its own takes over."""
    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    if ours:
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _hush_libraries() -> None:
    """Silence notices about which a user can do nothing."""
    # peft asks transformers for a property by its old name.
    warnings.filterwarnings("ignore", message=r".*is_gradient_checkpointing", category=FutureWarning)
    # An optional faster NF4 kernel for the CPU, looked for on the hub.
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    # "It looks like you forgot to detokenize": an answer may end in a full stop behind a space.
    logging.getLogger("sacrebleu").setLevel(logging.ERROR)


def faults_of(error: Exception) -> tuple[str, ...] | None:
    """The user's faults in an error; None when it is ours. llada's own error counts as the user's: a bad checkpoint."""
    if isinstance(error, InputError):
        return error.faults
    errors = sys.modules.get("llada.errors")
    if errors is not None and isinstance(error, errors.CheckpointError):
        return (one_line(str(error)),)
    told = in_words(error)
    return None if told is None else (one_line(told),)
