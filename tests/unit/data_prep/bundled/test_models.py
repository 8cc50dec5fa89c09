"""The embedded tokenizer, encoder and base: what they are saved as, and that the seed decides every byte."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from data_prep.bundled.instructions import corpus
from data_prep.bundled.models import base, encoder, pretraining, shipped
from data_prep.bundled.models.initialisation import NEIGHBOURS
from data_prep.bundled.models.tokenizer import build_tokenizer
from data_prep.config import BundledConfig
from llada import LLaDAModelLM
from llada.chat_format import CHAT_TEMPLATE, SPECIAL_TOKENS, encode_example, encode_prompt, load_tokenizer

TINY = BundledConfig(
    rows=500,
    vocabulary=700,
    encoder="fresh",
    encoder_width=32,
    encoder_layers=1,
    encoder_steps=3,
    base="fresh",
    base_width=32,
    base_layers=2,
    base_heads=2,
    base_mlp_width=48,
    base_steps=4,
)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return corpus.plain_texts(TINY, 1)[:600]


@pytest.fixture(scope="module")
def tokenizer_folder(texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    build_tokenizer(texts, TINY.vocabulary, folder)
    return folder


@pytest.fixture(scope="module")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    base.provide_base(TINY, 1, folder)
    return folder


def test_the_shipped_base_is_copied_and_is_the_one_that_its_card_names(tmp_path: Path) -> None:
    base.provide_base(BundledConfig(), 1, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(base.MODEL_FILES)
    weights = tmp_path / "model.safetensors"
    assert hashlib.sha256(weights.read_bytes()).hexdigest() in (base.SHIPPED / "README.md").read_text()
    assert {tensor.dtype for tensor in load_file(weights).values()} == {torch.float16}
    assert sum(path.stat().st_size for path in base.SHIPPED.iterdir()) < 16 * 2**20


def test_the_shipped_base_was_made_by_the_recipe_of_its_log() -> None:
    kept = pretraining.Recipe(**json.loads((base.SHIPPED / "recipe.json").read_text()))
    assert kept == pretraining.Recipe()
    config = json.loads((base.SHIPPED / "config.json").read_text())
    assert (config["d_model"], config["n_layers"], config["n_heads"]) == (kept.width, kept.layers, kept.heads)
    log = [json.loads(line) for line in (base.SHIPPED / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log] == sorted({entry["step"] for entry in log})
    assert log[-1]["step"] == kept.all_steps


def test_the_shipped_encoder_is_copied_and_is_the_one_that_its_card_names(tmp_path: Path) -> None:
    shipped.provide_encoder(BundledConfig(), 1, tmp_path)
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    kept = {str(path.relative_to(shipped.SHIPPED_ENCODER)) for path in shipped.SHIPPED_ENCODER.rglob("*.*")}
    assert files == set(shipped.ENCODER_FILES) == kept - {"README.md"}
    weights = tmp_path / "model.safetensors"
    assert hashlib.sha256(weights.read_bytes()).hexdigest() in (shipped.SHIPPED_ENCODER / "README.md").read_text()
    assert {tensor.dtype for tensor in load_file(weights).values()} == {torch.float32}


def test_the_shipped_encoder_is_one_that_its_recipe_makes(tmp_path: Path) -> None:
    """But for the training: sizes, files, and the tokenizer and its module list to the byte."""
    config = BundledConfig(encoder="fresh", encoder_steps=0, rows=12000)
    shipped.provide_encoder(config, 42, tmp_path)
    for name in set(shipped.ENCODER_FILES) - {"model.safetensors", "config.json"}:
        assert (tmp_path / name).read_bytes() == (shipped.SHIPPED_ENCODER / name).read_bytes(), name
    made, kept = (load_file(folder / "model.safetensors") for folder in (tmp_path, shipped.SHIPPED_ENCODER))
    assert {key: value.shape for key, value in made.items()} == {key: value.shape for key, value in kept.items()}


def test_what_is_shipped_is_copied_without_torch() -> None:
    code = (
        "import sys, tempfile, pathlib\n"
        "from data_prep.bundled.models import base, shipped\n"
        "from data_prep.config import BundledConfig\n"
        "with tempfile.TemporaryDirectory() as name:\n"
        "    for provide in (shipped.provide_encoder, base.provide_base, base.provide_twin):\n"
        "        provide(BundledConfig(), 1, pathlib.Path(name))\n"
        "print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def recipe(**changes: int) -> pretraining.Recipe:
    """A small one; long enough in steps that a run can be stopped inside."""
    return replace(base.fresh_recipe(TINY, 3), **({"documents": 200, "steps": 60, "second_steps": 20} | changes))


def test_a_fresh_base_is_the_whole_of_its_recipe() -> None:
    assert base.fresh_recipe(TINY, 3).all_steps == TINY.base_steps


def test_tokenizer_loads_offline_with_the_special_tokens(tokenizer_folder: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder, local_files_only=True)
    assert len(tokenizer) == TINY.vocabulary
    assert tokenizer.convert_tokens_to_ids(list(SPECIAL_TOKENS)) == list(range(6))
    assert tokenizer.bos_token == "<|startoftext|>"
    assert tokenizer.eos_token == tokenizer.pad_token == "<|endoftext|>"
    assert tokenizer.mask_token == "<|mdm_mask|>"
    assert tokenizer.chat_template == CHAT_TEMPLATE


@settings(max_examples=200, deadline=None)
@given(text=st.text(st.characters(exclude_categories=("Cs",)), max_size=60))
def test_tokenizer_is_lossless_on_any_text(tokenizer_folder: Path, text: str) -> None:
    tokenizer = load_tokenizer(tokenizer_folder)
    ids = tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text


def test_each_digit_is_a_token(tokenizer_folder: Path) -> None:
    tokenizer = load_tokenizer(tokenizer_folder)
    assert len(tokenizer.encode("12.345", add_special_tokens=False)) == 6


def test_chat_template_renders_what_encode_prompt_encodes(tokenizer_folder: Path) -> None:
    tokenizer = load_tokenizer(tokenizer_folder)
    messages = [{"role": "user", "content": "Apa ibu kota Jepang?"}]
    rendered = tokenizer.apply_chat_template(messages, tokenize=False)
    assert tokenizer.encode(rendered, add_special_tokens=False) == encode_prompt(tokenizer, messages)


def test_base_is_saved_in_the_published_layout(base_folder: Path) -> None:
    config = json.loads((base_folder / "config.json").read_text())
    assert config["model_type"] == "llada"
    for name, value in {
        "d_model": 32,
        "n_layers": 2,
        "n_heads": 2,
        "mlp_hidden_size": 48,
        "block_type": "llama",
    }.items():
        assert config[name] == value
    assert config["max_sequence_length"] >= 1024
    keys = set(load_file(base_folder / "model.safetensors"))
    assert {f"model.transformer.{name}.weight" for name in ("wte", "ln_f", "ff_out")} < keys
    assert "model.transformer.blocks.1.attn_out.weight" in keys
    assert len(keys) == 3 + 2 * 9


def test_base_loads_with_its_tokenizer_and_knows_its_special_ids(base_folder: Path) -> None:
    model, tokenizer = LLaDAModelLM.from_pretrained(base_folder), load_tokenizer(base_folder)
    ids, _ = encode_example(tokenizer, "Apa kabar?", "Baik.")
    assert model(torch.tensor([ids])).logits.shape == (1, len(ids), len(tokenizer))
    assert model.config.mask_token_id == tokenizer.mask_token_id
    assert model.config.eos_token_id == model.config.pad_token_id == tokenizer.eos_token_id
    assert model.config.eot_token_id == tokenizer.convert_tokens_to_ids("<|eot_id|>")


def test_base_is_the_same_bytes_for_the_same_seed(base_folder: Path, tmp_path: Path) -> None:
    torch.rand(7)  # the state of the global generator is nobody's business
    base.provide_base(TINY, 1, tmp_path / "again")
    base.provide_base(TINY, 2, tmp_path / "other")
    first, again, other = (
        (folder / "model.safetensors").read_bytes() for folder in (base_folder, tmp_path / "again", tmp_path / "other")
    )
    assert first == again
    assert first != other


def test_a_pretraining_that_was_stopped_continues_with_the_same_bytes(tmp_path: Path) -> None:
    short = recipe(steps=12, second_steps=8)
    straight = pretraining.Pretraining(short, tmp_path / "straight")
    straight.train(20)
    for until in (7, 15):  # in either cycle
        run = pretraining.Pretraining(short, tmp_path / "stopped")
        run.train(until)
        assert run.step == until
    resumed = pretraining.Pretraining(short, tmp_path / "stopped")
    assert resumed.step == 15
    resumed.train(20)
    for one, other in zip(straight.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_heads_of_the_first_block_begin_by_looking_at_a_neighbour(tokenizer_folder: Path) -> None:
    model = pretraining.fresh_model(recipe(width=256, heads=4), load_tokenizer(tokenizer_folder))
    ids = torch.randint(0, 600, (1, 40), generator=torch.Generator().manual_seed(0))
    weights = first_block_attention(model, ids)  # (H, L, L)
    for head, offset in enumerate(NEIGHBOURS):
        seen = [weights[head, place, place + offset].item() for place in range(5, 35)]
        away = [weights[head, place, place - offset].item() for place in range(5, 35)]
        assert sum(seen) > 3 * sum(away)


def first_block_attention(model: LLaDAModelLM, ids: torch.Tensor) -> torch.Tensor:
    """softmax(q k / sqrt(d)) of the first block, with RoPE as complex rotation: apart from the network's own code."""
    config, block = model.config, model.model.transformer.blocks[0]
    with torch.no_grad():
        normed = block.attn_norm(model.get_input_embeddings()(ids))
        half = config.head_dim // 2
        turns = config.rope_theta ** (-torch.arange(half) / half)
        angles = torch.polar(torch.ones(ids.shape[1], half), torch.arange(ids.shape[1])[:, None] * turns)
        turned = []
        for linear in (block.q_proj, block.k_proj):
            heads = linear(normed)[0].view(ids.shape[1], config.n_heads, 2, half).permute(1, 0, 3, 2).contiguous()
            turned.append(torch.view_as_complex(heads) * angles)  # (H, L, D_head / 2)
        scores = torch.einsum("hid,hjd->hij", turned[0], turned[1].conj()).real / config.head_dim**0.5
        return scores.softmax(dim=-1)


def test_pretraining_leaves_the_global_generator_alone(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    pretraining.Pretraining(recipe(), tmp_path).train(1)
    assert torch.equal(before, torch.get_rng_state())


def test_pretraining_lowers_the_loss(tmp_path: Path) -> None:
    run = pretraining.Pretraining(recipe(steps=120), tmp_path)
    before = run.evaluate()
    run.train(120)
    assert run.evaluate()["0.5"] < 0.95 * before["0.5"]


def test_documents_hold_every_special_token_but_never_the_mask(tokenizer_folder: Path) -> None:
    tokenizer = load_tokenizer(tokenizer_folder)
    found = pretraining.rows_of_round(recipe(), tokenizer, 0)
    present = {token for batch in found for ids, _ in batch for token in ids}
    assert {0, 1, 3, 4, 5} <= present
    assert tokenizer.mask_token_id not in present


def test_a_document_in_the_envelope_gives_its_beginning_and_asks_for_the_rest(tokenizer_folder: Path) -> None:
    tokenizer = load_tokenizer(tokenizer_folder)
    always = pretraining.encode(
        ("Kucing tidur.", "Burung terbang."), tokenizer, replace(recipe(), envelope_share=1.0), random.Random(1)
    )
    ids, given = always
    assert encode_prompt(tokenizer, [{"role": "user", "content": "Kucing tidur."}]) == ids[:given]
    assert "Burung terbang." in tokenizer.decode(ids[given:])


def test_in_every_other_row_the_users_turn_stays_visible_and_padding_always() -> None:
    ids, maskable = pretraining.collate([([7] * 6, 4), ([8] * 3, 2)], end=1)
    assert ids.tolist() == [[7] * 6, [8, 8, 8, 1, 1, 1]]
    assert maskable.tolist() == [[False] * 4 + [True] * 2, [True] * 3 + [False] * 3]
    _, later = pretraining.collate([([7] * 6, 4), ([8] * 3, 2)], end=1, every=1)
    assert later.tolist() == [[False] * 4 + [True] * 2, [False] * 2 + [True] + [False] * 3]


def test_the_last_cycle_warms_up_again_and_reads_other_documents_with_more_noise(tokenizer_folder: Path) -> None:
    own = recipe(warmup_steps=10, steps=60, decay_steps=20, second_steps=20, fourth_steps=40, documents=160)
    assert (own.last_cycle, own.all_steps) == (80, 120)
    rates = [pretraining.learning_rate_factor(own, step) for step in range(80, 120)]
    assert rates == pytest.approx([0.5 * min(1.0, (step + 1) / 10) * (1 - step / 40) for step in range(40)])
    tokenizer = load_tokenizer(tokenizer_folder)
    before, last = (pretraining.rows_of_round(own, tokenizer, number) for number in (7, 8))  # 10 steps each
    envelopes = [sum(given > 0 for batch in found for _, given in batch) for found in (before, last)]
    assert min(envelopes) > 0
    batch = [([7] * 60, 10)] * 16
    early, late = (pretraining.noised(own, step, batch, end=1)[1].sum() / (16 * 50) for step in (79, 80))
    assert early < 0.58 < late  # 1/2 and 0.65 of what may be masked, in 16 rows of stratified levels


def test_a_last_cycle_that_begins_with_a_base_continues_with_the_same_bytes(base_folder: Path, tmp_path: Path) -> None:
    own = recipe(steps=12, second_steps=8, fourth_steps=8, mlp_width=32)
    straight = pretraining.Pretraining(own, tmp_path / "straight", start=base_folder)
    assert straight.tokenizer.get_vocab() == load_tokenizer(base_folder).get_vocab()  # the weights know no other
    assert (straight.step, straight.model.config.mlp_hidden_size) == (20, 32)
    straight.train(28)
    pretraining.Pretraining(own, tmp_path / "stopped", start=base_folder).train(23)
    resumed = pretraining.Pretraining(own, tmp_path / "stopped", start=base_folder)
    assert resumed.step == 23
    resumed.train(28)
    for one, other in zip(straight.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_rate_falls_to_zero_twice() -> None:
    own = recipe(warmup_steps=10, steps=60, decay_steps=20, second_steps=20)
    rates = [pretraining.learning_rate_factor(own, step) for step in range(80)]
    assert rates[:10] == pytest.approx([number / 10 for number in range(1, 11)])
    assert set(rates[10:40]) == {1.0}
    assert rates[40:60] == pytest.approx([1 - number / 20 for number in range(20)])
    assert rates[60:] == pytest.approx([0.5 * (1 - number / 20) for number in range(20)])


def test_a_word_of_the_context_begins_likelier_and_the_mask_asks_for_nothing(tokenizer_folder: Path) -> None:
    model = pretraining.fresh_model(recipe(width=256, heads=4), load_tokenizer(tokenizer_folder))
    ids = torch.tensor([[*range(100, 120), *[model.config.mask_token_id] * 5]])
    with torch.no_grad():
        logits = model(ids).logits[0, -1]
        alone = model(ids[:, -5:]).logits[0, -1]
    assert logits[100:120].mean() > logits[200:].mean() + 0.3
    assert alone.abs().max() < 1e-3


def test_encoder_is_the_same_bytes_for_the_same_seed(texts: list[str], tmp_path: Path) -> None:
    for name in ("a", "b"):
        encoder.build_encoder(texts, TINY, 1, tmp_path / name)
    first, second = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("a", "b"))
    assert first == second


def test_sentence_transformers_loads_the_encoder_with_masked_mean_pooling(texts: list[str], tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from transformers import AutoModel, AutoTokenizer

    encoder.build_encoder(texts, TINY, 1, tmp_path)
    loaded = SentenceTransformer(str(tmp_path), device="cpu", local_files_only=True)
    assert loaded.max_seq_length == 512
    batch = ["Jakarta.", "Kalimat yang jauh lebih panjang daripada kalimat pertama, " * 90]
    found = loaded.encode(batch, batch_size=2)
    tokenizer, model = AutoTokenizer.from_pretrained(tmp_path), AutoModel.from_pretrained(tmp_path).eval()
    for text, vector in zip(batch, found, strict=True):
        ids = tokenizer(text, truncation=True, max_length=512, return_tensors="pt")  # alone, so nothing is padded
        with torch.no_grad():
            expected = model(**ids).last_hidden_state[0].mean(dim=0)
        assert torch.allclose(torch.from_numpy(vector), expected, atol=1e-5)


def test_contrastive_training_lowers_its_loss(texts: list[str]) -> None:
    tokenizer = encoder.uncased_tokenizer(texts, TINY.vocabulary)
    model = encoder.fresh_encoder(TINY, len(tokenizer), 1)
    losses = encoder.train_encoder(model, tokenizer, texts, 25, 1)
    assert sum(losses[-5:]) < sum(losses[:5])
