"""The examples of docs/sampling.md run as they stand, in order, on a tiny model with a tokenizer of the right kind."""

import re
import runpy
from pathlib import Path

import pytest
import torch

from llada import LLaDAConfig, LLaDAModelLM
from tests.support.imports import REPOSITORY
from tests.support.reference_sampler import single_thread
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


def test_the_pages_examples_run(checkpoint, tmp_path):
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(examples) >= 5
    program = tmp_path / "examples.py"
    program.write_text("\n".join(examples), encoding="utf-8")
    names = runpy.run_path(str(program), init_globals={"folder": checkpoint})
    assert set(names["answers"]) == {0, 1}
    assert "Pagi itu hujan turun." in names["paragraph"]
    assert names["paragraph"].endswith("Karena itu kami tinggal di rumah.")
    assert "<|mdm_mask|>" not in names["paragraph"]
