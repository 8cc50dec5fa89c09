"""The examples of docs/sampling.md run as they stand, in order, on a tiny model with a tokenizer of the right kind."""

import re
import runpy
from pathlib import Path

import pytest
import torch

from llada import LLaDAConfig, LLaDAModelLM, SamplerConfig, generate
from llada.sampling import engine
from llada.sampling.engine import Engine
from tests.support.imports import REPOSITORY
from tests.support.reference_sampler import random_model, single_thread
from tests.unit.llada.test_chat_format import build_tokenizer

one_thread = pytest.fixture(autouse=True, scope="module")(single_thread)
PAGE = REPOSITORY / "docs" / "sampling.md"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    tokenizer = build_tokenizer()
    tokenizer.save_pretrained(folder)
    ids = {name: tokenizer.convert_tokens_to_ids(f"<|{name}|>") for name in ("mdm_mask", "endoftext", "eot_id")}
    torch.manual_seed(0)
    config = LLaDAConfig(
        d_model=16,
        n_layers=1,
        n_heads=2,
        mlp_hidden_size=24,
        vocab_size=len(tokenizer),
        embedding_size=len(tokenizer),
        mask_token_id=ids["mdm_mask"],
        eos_token_id=ids["endoftext"],
        pad_token_id=ids["endoftext"],
        eot_token_id=ids["eot_id"],
    )
    LLaDAModelLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def names(checkpoint, tmp_path_factory) -> dict:
    """What the page's program defines, having run from its first line to its last."""
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(examples) >= 6
    program = tmp_path_factory.mktemp("page") / "examples.py"
    program.write_text("\n".join(examples), encoding="utf-8")
    return runpy.run_path(str(program), init_globals={"folder": checkpoint})


def test_the_pages_examples_run(names):
    assert set(names["answers"]) == {0, 1}
    assert "Pagi itu hujan turun." in names["paragraph"]
    assert names["paragraph"].endswith("Karena itu kami tinggal di rumah.")
    assert "<|mdm_mask|>" not in names["paragraph"]


@pytest.mark.parametrize(("gen_length", "block_length", "steps"), [(12, 4, 12), (12, 6, 8), (8, 8, 3), (9, 3, 15)])
def test_the_plain_loop_gives_the_samplers_tokens(names, gen_length, block_length, steps):
    config = SamplerConfig(gen_length=gen_length, block_length=block_length, steps=steps)
    for seed in range(4):
        model, prompt = random_model(seed), [1, 2, 3 + seed]
        plain = names["denoise_plainly"](model, prompt, gen_length, block_length, steps)
        assert plain.tolist() == generate(model, torch.tensor([prompt]), config=config).tokens[0].tolist()


def test_the_page_names_functions_of_the_engine():
    table = re.findall(r"^\| \d .*?\|(.*?)\|", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    named = re.findall(r"`(\w+)`", "".join(table))
    assert len(table) == 8
    assert all(hasattr(Engine, name) or hasattr(engine, name) for name in named), named
