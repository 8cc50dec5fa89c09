"""The penalty on repetition, the score under a temperature, and a model without finite logits."""

from dataclasses import replace

import pytest
import torch

from llada import SamplerConfig, generate
from llada.errors import CheckpointError
from llada.sampling.token_choice import TokenChooser, penalised
from tests.support.reference_sampler import EOS, EOT, MASK, random_model, single_thread

one_thread = pytest.fixture(autouse=True, scope="module")(single_thread)
NONE = torch.empty(0, dtype=torch.int64)
PROMPT = torch.tensor([[1, 2, 3]])
STEPWISE = SamplerConfig(gen_length=12, block_length=12, steps=12, eos_policy="suppress")


def test_the_penalty_divides_positive_logits_and_multiplies_negative_ones():
    logits = torch.tensor([[2.0, -2.0, 2.0, -2.0]])
    repeated = torch.tensor([[True, True, False, False]])
    assert penalised(logits, repeated, 4.0).tolist() == [[0.5, -8.0, 2.0, -2.0]]


def test_a_penalty_makes_the_answer_repeat_less():
    fewer = 0
    for seed in range(4):
        model = random_model(seed, favourites=1.6)
        plain, varied = (
            generate(model, PROMPT, config=replace(STEPWISE, repetition_penalty=penalty)).tokens[0, 3:].tolist()
            for penalty in (1.0, 50.0)
        )
        assert len(set(varied)) >= len(set(plain))
        fewer += len(set(varied)) > len(set(plain))
    assert fewer


def test_the_penalty_sees_the_rows_own_answer_and_neither_prompt_nor_stop_tokens():
    """Against the published loop with the penalty written out, one token per step."""
    model = random_model(1, favourites=1.6)
    config = replace(STEPWISE, repetition_penalty=1.7, eos_policy="none")
    tokens = torch.cat((PROMPT[0], torch.full((12,), MASK)))
    for _ in range(12):
        with torch.no_grad():
            logits = model(tokens[None]).logits[0].float()
        for token in set(tokens[3:].tolist()) - {MASK, EOS, EOT}:
            logits[:, token] = torch.where(logits[:, token] > 0, logits[:, token] / 1.7, logits[:, token] * 1.7)
        probabilities = logits.softmax(dim=-1)
        probabilities[:, [MASK, *range(model.config.vocab_size, logits.shape[1])]] = 0.0
        score, choice = probabilities.max(dim=-1)
        place = int(score.masked_fill(tokens != MASK, -1.0).argmax())
        tokens[place] = choice[place]
    assert generate(model, PROMPT, config=config).tokens[0].tolist() == tokens.tolist()


def test_a_tempered_score_is_the_probability_that_the_token_was_drawn_with():
    logits = torch.tensor([[0.0, 1.0, 3.0]])
    keys = torch.zeros(1, dtype=torch.int64)
    config = SamplerConfig(temperature=2.0)
    for confidence, divisor in (("plain", 1.0), ("tempered", 2.0)):
        chooser = TokenChooser(replace(config, confidence=confidence), NONE, NONE)
        choice = chooser.choose(logits.clone(), keys)
        assert torch.allclose(choice.scores, (logits / divisor).softmax(-1)[0, choice.tokens])
        assert torch.allclose(chooser.probability(logits.clone(), choice.tokens), choice.scores)


@pytest.mark.parametrize("remasking", ["low_confidence", "random"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_are_refused_at_the_first_step(remasking, value):
    model = random_model(0).to(torch.bfloat16)
    with torch.no_grad():
        model.get_output_embeddings().weight[5] = value
    with pytest.raises(CheckpointError, match=r"not finite in torch\.bfloat16"):
        generate(model, PROMPT, config=replace(STEPWISE, remasking=remasking))


def test_logits_that_stop_being_finite_are_refused_in_the_next_block(monkeypatch):
    model, asked = random_model(0), []
    head = model.head

    def failing(hidden):
        asked.append(1)
        return head(hidden) * (float("nan") if len(asked) > 4 else 1.0)

    monkeypatch.setattr(model, "head", failing)
    config = SamplerConfig(gen_length=12, block_length=4, steps=12, eos_policy="suppress")
    with pytest.raises(CheckpointError, match="not finite"):
        generate(model, PROMPT, config=config)
    assert len(asked) == 5
