"""The evaluate stage on an autoregressive twin: exact likelihoods, every text metric, costs, and batches that change
nothing.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from adapters.config import ModelConfig
from eval.config import EvaluationConfig
from eval.measure.evaluate import Measurement, evaluate, read_test_set
from eval.report.load import read_system
from llada.sampling.settings import SamplerConfig
from tests.support.evaluation import write_test_split, write_tiny_base, write_tiny_twin

SAMPLING = SamplerConfig(gen_length=16, block_length=8, steps=8, stop_at_eos=True)


def measure(base: Path, test: Path, output: Path, batch_size: int, causal: bool) -> Path:
    settings = EvaluationConfig(
        batch_size=batch_size, likelihood_samples=4, bootstrap_resamples=100, permutations=100, trace_items=1
    )
    measurement = Measurement(settings, SAMPLING, ModelConfig(), seed=7, causal=causal, beside=True)
    evaluate(measurement, system="base", base=base, adapter=None, test=test, output=output)
    return output


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("twin")
    base = write_tiny_base(root / "base")
    twin = write_tiny_twin(root / "twin", base)
    test = write_test_split(root / "test.parquet", base, 9)
    places = {"twin": twin, "test": test}
    for name, folder, rows, causal in (("diffusion", base, 4, False), ("four", twin, 4, True), ("one", twin, 1, True)):
        places[name] = measure(folder, test, root / name, rows, causal)
    return places


def content(folder: Path, name: str) -> dict:
    return json.loads((folder / name).read_text())


def test_its_likelihood_is_exact(written: dict[str, Path]) -> None:
    test_set = read_test_set(written["test"])
    network = AutoModelForCausalLM.from_pretrained(written["twin"]).double()
    nats = 0.0
    for prompt, answer in zip(test_set.prompts, test_set.answers, strict=True):
        labels = torch.tensor([[-100] * len(prompt) + answer])
        with torch.no_grad():
            nats += float(network(input_ids=torch.tensor([prompt + answer]), labels=labels).loss) * len(answer)
    metrics = content(written["four"], "metrics.json")
    assert metrics["exact_likelihood"] is True
    expected = nats / sum(map(len, test_set.answers))
    assert metrics["metrics"]["bound_per_token"]["value"] == pytest.approx(expected, abs=1e-4)
    assert metrics["metrics"]["bound_per_token"]["sampling_error"] == 0.0
    assert "exact_likelihood" not in content(written["diffusion"], "metrics.json")


def test_the_batch_changes_no_byte_of_what_is_measured(written: dict[str, Path]) -> None:
    for name in ("metrics.json", "items.jsonl"):
        assert (written["four"] / name).read_bytes() == (written["one"] / name).read_bytes()


def test_both_paradigms_have_the_same_metrics_and_costs(written: dict[str, Path]) -> None:
    one, other = (read_system("base", written[name], None) for name in ("diffusion", "four"))
    assert one.scores.keys() == other.scores.keys()
    for system in (one, other):
        alone = system.accounting["alone"]
        assert alone["items"] == 8
        assert alone["seconds"] > 0
        assert system.accounting["batch_size"] == 4
        assert system.accounting["peak_memory_bytes"] > 0
    # from left to right every token is a pass of its own, the stop token's too
    written_tokens = other.accounting["alone"]["generated_tokens"]
    assert other.accounting["alone"]["forward_passes"] == written_tokens
    assert one.accounting["alone"]["forward_passes"] <= 8 * SAMPLING.steps
