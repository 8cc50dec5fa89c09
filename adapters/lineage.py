"""The base that an adapter was trained on, as its run.json records it, beside the base that is at hand.

Two bases of the same shapes take each other's adapters without a word, and compute nonsense.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import NonNegativeInt

from common import seals
from common.errors import InputError
from common.files import sha256_of_file
from common.progress import console
from common.records import Record, read_record

RUN = "run.json"
SEALED = ("adapter_model.safetensors", "adapter_config.json")
RETRAIN = "accelerate launch train_adapter.py METHOD"


class TrainedOn(Record):
    """`base` of run.json. name: hub id or folder, None for the embedded one; sha256: of the folder's files."""

    name: str | None = None
    revision: str | None = None
    sha256: str | None = None


class TrainedRows(Record):
    """`data` of run.json. sha256: of each split's file."""

    sha256: dict[str, str] = {}  # noqa: RUF012  (a pydantic default, copied for each record)


class Run(Record):
    """What run.json says of the adapter's origin and of how its answers end; the rest is for the report. steps:
    None where no training of ours wrote it.
    """

    steps: int | None = None
    title: str = "LoRA"
    tail_tokens: dict[str, NonNegativeInt] = {}  # noqa: RUF012
    base: TrainedOn = TrainedOn()
    data: TrainedRows = TrainedRows()
    files: seals.Files = seals.Files()


def note_tail(network: Any, adapter: Path) -> None:
    """Let a network's config name what the adapter writes behind an answer's end, so that it ends one too."""
    tokens = read_run(adapter).tail_tokens.values()
    known = set(getattr(network.config, "tail_token_ids", None) or ())
    if wrong := [token for token in tokens if token >= network.config.vocab_size]:
        raise InputError(f"{adapter / RUN}: tail_tokens: {wrong[0]} is no token of this base; {RETRAIN} again")
    if tokens:
        network.config.tail_token_ids = sorted(known | set(tokens))


def read_run(adapter: Path) -> Run:
    """run.json of an adapter's folder; one that another program trained has none, and gives the defaults.

    Raises:
        InputError: the file is damaged.
    """
    path = adapter / RUN
    return read_record(path, Run, RETRAIN) if path.is_file() else Run()


def check_base(adapter: Path, base: Path, sha256: str) -> None:
    """Compare the base at hand with the one that an adapter was trained on.

    An adapter without a record (another program trained it) is accepted, with a note on stderr.

    Args:
        base: folder of the base at hand. sha256: of its files, as in inputs.json (`sha256_of_model_folder`).

    Raises:
        InputError: the adapter was trained on another base, both are named; or it is not the one that was trained.
    """
    check_files(adapter)
    trained_on = read_run(adapter).base
    if trained_on.sha256 is None:
        note = f"{adapter}: does not record the base it was trained on; taken for one of {base}"
        console.print(note, soft_wrap=True)
    elif trained_on.sha256 != sha256:
        raise InputError(
            f"{adapter}: trained on the base {trained_on.name or 'embedded'} ({trained_on.sha256[:12]}), but {base} is "
            f"another ({sha256[:12]}); use the base it was trained on, or train it again on this one"
        )


def check_files(adapter: Path) -> None:
    """Raises InputError where weights or settings are not those that the training wrote, which run.json records, or
    where a run.json of ours records none.
    """
    seals.check(adapter / RUN, adapter, RETRAIN)
    run = read_run(adapter)
    if run.steps is None:  # of another program
        return
    hashes = {"the base": run.base.sha256, **{name: run.files.wrote.get(name) for name in SEALED}}
    for what, value in hashes.items():
        if value is None:
            raise InputError(f"{adapter / RUN}: holds no hash of {what}; run `{RETRAIN}` again")


def check_rows(adapter: Path, formatted: Path) -> None:
    """Raises InputError where an adapter was trained on other rows than are there: its test rows may be among them."""
    run = read_run(adapter)
    if run.steps is not None and not run.data.sha256:
        raise InputError(f"{adapter / RUN}: holds no hash of the rows it was trained on; run `{RETRAIN}` again")
    for name, value in run.data.sha256.items():
        path = formatted / f"{name}.parquet"
        if path.is_file() and sha256_of_file(path) != value:
            raise InputError(f"{adapter}: trained on another {path} than is there now; run `{RETRAIN}` again")
