"""Logits of the published model, recorded."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from llada import LLaDAModelLM

DATA = Path(__file__).parent / "data"
RECORDED = load_file(DATA / "forward.safetensors")


@pytest.fixture(scope="module")
def model():
    return LLaDAModelLM.from_pretrained(DATA, dtype=torch.float32)


@pytest.mark.parametrize("case", ["a_random", "b_masked", "c_right_pad"])
def test_logits_equal_the_published_models(model, case):
    with torch.no_grad():
        logits = model(RECORDED[f"{case}.ids"], RECORDED.get(f"{case}.attention_mask")).logits
    torch.testing.assert_close(logits, RECORDED[f"{case}.logits"], rtol=0, atol=1e-4)


def test_padding_moved_to_the_left_leaves_the_published_logits(model):
    ids, real, logits = (RECORDED[f"c_right_pad.{name}"] for name in ("ids", "attention_mask", "logits"))
    for row in range(len(ids)):
        length = int(real[row].sum())
        order = torch.cat((torch.arange(length, ids.shape[1]), torch.arange(length)))  # pads first
        with torch.no_grad():
            moved = model(ids[row, order][None], real[row, order][None]).logits[0, -length:]
        torch.testing.assert_close(moved, logits[row, :length], rtol=0, atol=1e-4)
