"""The base that an adapter was trained on, as its run.json records it, beside the base that is at hand.

Two bases of the same shapes take each other's adapters without a word, and compute nonsense.
"""

from __future__ import annotations

from pathlib import Path

from common.errors import InputError
from common.progress import console
from common.records import Record, read_record

RUN = "run.json"
RETRAIN = "accelerate launch train_adapter.py METHOD"


class TrainedOn(Record):
    """`base` of run.json. name: hub id or folder, None for the embedded one; sha256: of the folder's files."""

    name: str | None = None
    revision: str | None = None
    sha256: str | None = None


class Run(Record):
    """What run.json says of the adapter's origin; the rest is for the report."""

    title: str = "LoRA"
    base: TrainedOn = TrainedOn()


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
        InputError: the adapter was trained on another base; both are named.
    """
    trained_on = read_run(adapter).base
    if trained_on.sha256 is None:
        note = f"{adapter}: does not record the base it was trained on; taken for one of {base}"
        console.print(note, soft_wrap=True)
    elif trained_on.sha256 != sha256:
        raise InputError(
            f"{adapter}: trained on the base {trained_on.name or 'embedded'} ({trained_on.sha256[:12]}), but {base} is "
            f"another ({sha256[:12]}); use the base it was trained on, or train it again on this one"
        )
