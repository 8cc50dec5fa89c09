"""The published sampler's outputs, token for token (recorded numbers; the checkpoint is the tiny one beside them)."""

import json
from pathlib import Path

import pytest
import torch

from llada import LLaDAModelLM, SamplerConfig, generate

DATA = Path(__file__).parent / "data"
CASES = json.loads((DATA / "generate.json").read_text())


@pytest.fixture(scope="module")
def model():
    return LLaDAModelLM.from_pretrained(DATA, dtype=torch.float32)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_greedy_output_equals_the_published_samplers(model, case):
    result = generate(model, torch.tensor(case["prompt"]), config=SamplerConfig(**case["kwargs"]))
    assert result.tokens.tolist() == case["output"]
    assert result.forward_passes == case["nfe"]


@pytest.mark.parametrize(
    "case", [case for case in CASES if case["kwargs"]["steps"] == 16], ids=lambda case: case["name"]
)
def test_left_padding_does_not_change_the_output(model, case):
    prompt = torch.tensor(case["prompt"])
    padded = torch.cat((torch.full((1, 5), 501), prompt), dim=1)
    attention = torch.cat((torch.zeros(1, 5), torch.ones_like(prompt)), dim=1)
    result = generate(model, padded, attention, SamplerConfig(**case["kwargs"]))
    assert result.tokens[:, 5:].tolist() == case["output"]


def test_rows_of_one_batch_equal_the_rows_alone(model):
    cases = [case for case in CASES if case["kwargs"] == {"steps": 16, "gen_length": 16, "block_length": 16}]
    cases += [{"prompt": case["prompt"]} for case in CASES if case not in cases]
    config = SamplerConfig(gen_length=16, block_length=16, steps=16)
    alone = [generate(model, torch.tensor(case["prompt"]), config=config).tokens for case in cases]
    together = generate(model, torch.tensor([case["prompt"][0] for case in cases]), config=config).tokens
    assert together.tolist() == torch.cat(alone).tolist()
