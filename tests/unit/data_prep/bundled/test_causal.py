"""The base's autoregressive twin: the same rows, what stands to the left, and a run that may be stopped."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from causal.network import load_causal
from data_prep.bundled.models import base, pretraining
from data_prep.bundled.models.causal import next_token_loss
from data_prep.config import BundledConfig
from llada.chat_format import load_tokenizer

TINY = BundledConfig(base="fresh", base_width=32, base_layers=2, base_heads=2, base_mlp_width=48, base_steps=20)
RECIPE = replace(
    base.fresh_recipe(TINY, 3), paradigm="causal", documents=200, steps=12, decay_steps=4, second_steps=8, seed=5
)


def run(folder: Path, recipe: pretraining.Recipe = RECIPE) -> pretraining.Pretraining:
    return pretraining.Pretraining(recipe, folder, tokenizer=base.SHIPPED)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> pretraining.Pretraining:
    straight = run(tmp_path_factory.mktemp("straight"))
    straight.train(20)
    return straight


def test_a_twin_that_was_stopped_continues_with_the_same_bytes(
    finished: pretraining.Pretraining, tmp_path: Path
) -> None:
    run(tmp_path).train(14)
    resumed = run(tmp_path)
    assert resumed.step == 14
    resumed.train(20)
    for one, other in zip(finished.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_it_reads_the_rows_of_the_diffusion_base(finished: pretraining.Pretraining, tmp_path: Path) -> None:
    diffusion = run(tmp_path, replace(RECIPE, paradigm="diffusion"))
    diffusion.train(3)
    logs = [json.loads(line) for line in (finished.folder / "log.jsonl").read_text().splitlines()]
    assert logs[-1]["step"] == 20
    assert diffusion.tokens == sum(
        len(ids) for batch in pretraining.rows_of_round(RECIPE, finished.tokenizer, 0)[:3] for ids, _ in batch
    )
    assert (tmp_path / "tokenizer" / "tokenizer.json").read_bytes() == (base.SHIPPED / "tokenizer.json").read_bytes()


def test_the_loss_is_transformers_own(finished: pretraining.Pretraining) -> None:
    batch = pretraining.rows_of_round(RECIPE, finished.tokenizer, 0)[0]
    ids, asked = pretraining.collate(batch, finished.end)
    model = finished.model.double()
    total, count = next_token_loss(model, ids, asked)
    labels = ids.masked_fill(~asked, -100)
    expected = float(model(input_ids=ids, labels=labels).loss.detach())  # which it computes in float32
    assert float(total.detach() / count) == pytest.approx(expected, rel=1e-6)
    model.float()


def test_it_is_saved_as_llama_and_knows_its_ends(finished: pretraining.Pretraining, tmp_path: Path) -> None:
    finished.publish(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, local_files_only=True)
    assert loaded.config.model_type == "llama"
    assert not loaded.config.tie_word_embeddings
    assert sum(one.numel() for one in loaded.parameters()) == sum(one.numel() for one in finished.model.parameters())
    tokenizer = load_tokenizer(tmp_path)
    assert loaded.generation_config.eos_token_id == [tokenizer.eos_token_id, 5]
    ids = torch.tensor([[0, 7, 9]])
    halved = finished.model.half().float()
    assert torch.allclose(loaded.float()(ids).logits, halved(ids).logits, atol=1e-4)


def test_the_loss_falls_and_later_tokens_change_nothing_before_them(tmp_path: Path) -> None:
    short = replace(RECIPE, steps=60, warmup_steps=5, decay_steps=20, second_steps=0)
    trained = run(tmp_path, short)
    before = trained.evaluate()["causal"]
    trained.train(60)
    assert trained.evaluate()["causal"] < 0.9 * before
    ids = torch.arange(10, 30)[None]
    changed = ids.clone()
    changed[0, 12:] = 500
    first, second = (trained.model(one).logits[0, :12] for one in (ids, changed))
    assert torch.equal(first, second)


def test_it_begins_with_no_base(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--output", str(tmp_path / "run"), "--paradigm", "causal", "--start", str(base.SHIPPED)]
    monkeypatch.setattr("sys.argv", ["pretraining", *words])
    with pytest.raises(SystemExit, match="2"):
        pretraining.main()
    assert "--start: begins with a diffusion base" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_the_shipped_twin_is_the_one_that_its_card_names(tmp_path: Path) -> None:
    base.provide_twin(BundledConfig(), 1, tmp_path)
    card = (base.SHIPPED_TWIN / "README.md").read_text()
    weights = (tmp_path / "model.safetensors").read_bytes()
    assert hashlib.sha256(weights).hexdigest() in card
    kept = pretraining.Recipe(**json.loads((base.SHIPPED_TWIN / "recipe.json").read_text()))
    log = [json.loads(line) for line in (base.SHIPPED_TWIN / "log.jsonl").read_text().splitlines()]
    assert (log[-1]["step"], kept.paradigm) == (kept.all_steps, "causal")
    assert f"{log[-1]['tokens']:,}" in card
    loaded = load_causal(tmp_path)
    config, diffusion = loaded.config, json.loads((base.SHIPPED / "config.json").read_text())
    sizes = {"hidden_size": "d_model", "num_hidden_layers": "n_layers", "num_attention_heads": "n_heads"}
    assert all(getattr(config, here) == diffusion[there] for here, there in sizes.items())
    assert (tmp_path / "tokenizer.json").read_bytes() == (base.SHIPPED / "tokenizer.json").read_bytes()
