"""An encoder whose weights were pickled: its tensors are read, and nothing else that a pickle can hold is run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from transformers import BertModel

from common.errors import InputError
from common.text.sentence_encoder import load_encoder
from tests.support.cendol_rows import write_encoder


class Attack:
    """What a pickle does when it is loaded without care."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.trace),)


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    return write_encoder(tmp_path / "encoder")


def pickle_weights(folder: Path, extra: dict[str, object], zipped: bool) -> dict[str, torch.Tensor]:
    state = BertModel.from_pretrained(folder).state_dict()
    (folder / "model.safetensors").unlink()
    torch.save({**state, **extra}, folder / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    return state


@pytest.mark.parametrize("zipped", [True, False])
def test_pickled_tensors_are_loaded(encoder: Path, zipped: bool) -> None:
    state = pickle_weights(encoder, {}, zipped)
    loaded = load_encoder(encoder, "cpu", torch.float32).network.state_dict()
    assert all(torch.equal(tensor, loaded[name]) for name, tensor in state.items())


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_would_run_something_is_refused_and_runs_nothing(
    encoder: Path, tmp_path: Path, zipped: bool
) -> None:
    pickle_weights(encoder, {"attack": Attack(tmp_path / "attacked")}, zipped)
    with pytest.raises(InputError) as caught:
        load_encoder(encoder, "cpu", torch.float32)
    [said] = caught.value.faults
    assert "pytorch_model.bin" in said
    assert "safetensors" in said
    assert len(said.replace(str(encoder), "FOLDER")) <= 300
    assert not (tmp_path / "attacked").exists()
    import pickle

    pickle.loads(pickle.dumps(Attack(tmp_path / "attacked")))  # noqa: S301 (that it is an attack)
    assert (tmp_path / "attacked").exists()


@pytest.mark.parametrize("content", [b"", b"\x80\x02", b"tidak"])
def test_a_damaged_pickle_is_refused(encoder: Path, content: bytes) -> None:
    pickle_weights(encoder, {}, zipped=True)
    (encoder / "pytorch_model.bin").write_bytes(content)
    with pytest.raises(InputError, match=r"pytorch_model\.bin.* safetensors"):
        load_encoder(encoder, "cpu", torch.float32)
