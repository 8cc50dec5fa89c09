"""A model or encoder that gives nan: whoever asks it says so in one sentence, and goes no further."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from adapters.config import ModelConfig
from chat.conversation import Conversation
from chat.systems import Systems
from common.errors import InputError
from common.text.sentence_encoder import load_encoder
from eval.measure.evaluate import load_system
from eval.measure.generation import generate_answers
from eval.measure.likelihood import bounds
from eval.suites.asking import Asking
from eval.suites.questions import Question
from eval.suites.scoring import Scorer
from llada import SamplerConfig
from llada.errors import CheckpointError
from pipeline.options import faults_of
from tests.support.cendol_rows import write_encoder
from tests.support.evaluation import write_tiny_base, write_tiny_twin

SAMPLING = SamplerConfig(gen_length=8, block_length=8, steps=2)
PROMPT, ANSWER = [5, 6, 7], [8, 9]
QUESTION = Question("1", "Soal: di mana?\n", ("Bali", "Jawa"), 0)


def spoilt(network: Any) -> Any:
    """One number of the last norm is nan: so is every logit."""
    with torch.no_grad():
        next(value for name, value in reversed(list(network.named_parameters())) if value.dim() == 1)[0] = torch.nan
    return network


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def system(base: Path) -> tuple[Any, Any]:
    network, tokenizer = load_system(ModelConfig(), base, None)
    return spoilt(network), tokenizer


@pytest.fixture(scope="module")
def twin(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    folder = write_tiny_twin(tmp_path_factory.mktemp("twin"), base)
    network, tokenizer = load_system(ModelConfig(base=str(folder)), folder, None, causal=True)
    return spoilt(network), tokenizer


def score(system: tuple[Any, Any], scoring: str) -> Any:
    scorings: Any = (scoring,)
    return Scorer(system[0], Asking(system[1], (), 0, 512), scorings, 2, 0).score([QUESTION], [0])


ASKED: dict[str, Callable[[tuple[Any, Any]], Any]] = {
    "likelihood": lambda system: bounds(system[0], [PROMPT], [ANSWER], samples=2, seed=0, label=""),
    "generation": lambda system: generate_answers(*system, [PROMPT], SAMPLING, batch_size=1, seed=0),
    "suite by likelihood": lambda system: score(system, "likelihood"),
    "suite by letter": lambda system: score(system, "letter"),
    "suite by revealing": lambda system: score(system, "revealing"),
}


@pytest.mark.parametrize("what", ASKED)
def test_a_model_that_gives_nan_is_the_users_error(system: tuple[Any, Any], what: str) -> None:
    with pytest.raises((InputError, CheckpointError), match="finite") as caught:
        ASKED[what](system)
    [fault] = faults_of(caught.value) or ()
    assert "float32" in fault
    assert "check " in fault


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_a_twin_that_gives_nan_is_the_users_error(twin: tuple[Any, Any], temperature: float) -> None:
    sampling = SamplerConfig(gen_length=8, block_length=8, steps=2, temperature=temperature)
    with pytest.raises(CheckpointError, match="not finite"):
        generate_answers(*twin, [PROMPT], sampling, batch_size=1, seed=0, causal=True)
    with pytest.raises(InputError, match="not a finite number"):
        bounds(twin[0], [PROMPT], [ANSWER], samples=2, seed=0, label="", causal=True)


def test_a_chat_with_a_model_that_gives_nan_says_so(base: Path) -> None:
    systems = Systems(ModelConfig(), base, {"base": None})
    spoilt(systems._networks["base"])
    with pytest.raises(InputError, match=r"^the model's logits are not finite in torch\.float32"):
        list(Conversation(["base"], SAMPLING, 0).ask(systems, "Apa itu kopi?"))


def test_an_encoder_that_gives_nan_is_named_before_a_vector_is_kept(tmp_path: Path) -> None:
    encoder = load_encoder(write_encoder(tmp_path), "cpu", torch.float32)
    ids = encoder.tokenizer(["kopi", "teh hangat"])["input_ids"]
    assert np.isfinite(encoder.encode(ids, torch.float32)).all()
    spoilt(encoder.network)
    with torch.no_grad():
        for value in encoder.network.parameters():
            value[..., 0] = torch.nan
    with pytest.raises(InputError, match=r"data\.encoder: .* not finite; check its weights"):
        encoder.encode(ids, torch.float32)
