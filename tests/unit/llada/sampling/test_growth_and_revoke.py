"""Rule revoke, which takes tokens back, and answers that grow."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from llada import SamplerConfig, denoise, generate
from llada.sampling.revoke import hidden_with_shadow
from tests.support.reference_sampler import EOS, EOT, MASK, random_model, single_thread

one_thread = pytest.fixture(autouse=True, scope="module")(single_thread)
properties = settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
MODELS = [random_model(seed, kv_heads, favourites=1.5) for seed, kv_heads in ((0, 1), (1, 2), (2, 2))]
models = st.sampled_from(MODELS)
IDS = torch.tensor([[9, 9, 5, 6, 7, MASK, 8, MASK, MASK, MASK], [1, 2, 3, 4, 5, 6, 7, MASK, MASK, MASK]])
ATTENTION = torch.tensor([[0, 0, 1, 1, 1, 1, 1, 1, 1, 1], [1] * 10]).bool()


@torch.no_grad()
def test_the_shadow_changes_nothing_for_the_block_itself():
    for model in MODELS:
        hidden = hidden_with_shadow(model, IDS, ATTENTION, 4, 8, MASK)[:, 4:12]
        torch.testing.assert_close(hidden[:, :4], model.hidden(IDS, ATTENTION)[:, 4:8])


@torch.no_grad()
def test_at_a_masked_place_the_shadow_is_the_place_itself():
    for model in MODELS:
        hidden = hidden_with_shadow(model, IDS, ATTENTION, 4, 8, MASK)[:, 4:12]
        masked = IDS[:, 4:8] == MASK
        torch.testing.assert_close(hidden[:, 4:][masked], hidden[:, :4][masked])


@torch.no_grad()
def test_in_one_layer_the_shadow_is_a_pass_without_the_token():
    """Deeper networks let the token speak through its neighbours; with one layer the shadow is exact."""
    model = random_model(4)
    model.model.transformer.blocks = nn.ModuleList(model.model.transformer.blocks[:1])
    hidden = hidden_with_shadow(model, IDS, ATTENTION, 4, 8, MASK)[:, 4:12]
    for place in range(4, 8):
        without = IDS.clone()
        without[:, place] = MASK
        torch.testing.assert_close(hidden[:, place], model.hidden(without, ATTENTION)[:, place])


@properties
@given(models, st.sampled_from(["none", "prefix", "dual"]), st.integers(1, 8), st.floats(0, 1), st.floats(0, 1))
def test_revoke_takes_back_less_than_it_drafts_and_keeps_its_cap(model, cache, steps, draft, keep):
    config = SamplerConfig(
        gen_length=12,
        block_length=6,
        steps=2 * steps,
        rule="revoke",
        draft_threshold=draft,
        keep_threshold=keep,
        cache=cache,
    )
    masks, per_block, committed = 12, [0, 0], {0: 0, 1: 0}
    for step in denoise(model, torch.tensor([[1, 2, 3]]), None, config):
        left = int((step.tokens == MASK).sum())
        assert left == masks - int(step.revealed.sum()) + int(step.taken_back.sum())
        assert int(step.taken_back.sum()) <= max(0, committed[step.block] - 1)
        masks, committed[step.block] = left, int(step.revealed.sum())
        per_block[step.block] += 1
        assert 12 - masks >= sum(per_block)
    assert masks == 0
    assert max(per_block) <= steps


def test_revoke_takes_tokens_back_and_never_given_ones():
    taken = 0
    template = torch.full((1, 12), MASK)
    template[0, ::3] = 5
    config = SamplerConfig(
        gen_length=12, block_length=12, steps=12, rule="revoke", draft_threshold=0.2, keep_threshold=1.0
    )
    for model in MODELS:
        for step in denoise(model, torch.tensor([[1, 2, 3]]), None, config, answer=template):
            taken += int(step.taken_back.sum())
            assert (step.tokens[0, 3::3] == 5).all()
    assert taken > 0


def growing(cache: str, tail_confidence: float) -> SamplerConfig:
    return SamplerConfig(
        gen_length=4,
        block_length=4,
        steps=4,
        stop_at_eos=True,
        max_gen_length=16,
        cache=cache,
        tail_confidence=tail_confidence,
    )


@properties
@given(models, st.sampled_from(["none", "prefix", "dual"]), st.sampled_from([0.0, 0.02, 0.5]), st.integers(0, 20))
def test_growing_rows_are_what_they_would_be_alone(model, cache, tail_confidence, token):
    config = growing(cache, tail_confidence)
    ids = torch.tensor([[1, 2, 3, token], [EOS, EOS, token, 4], [EOS, 7, 8, token]])
    attention = torch.tensor([[1, 1, 1, 1], [0, 0, 1, 1], [0, 1, 1, 1]])
    together = generate(model, ids, attention, config).tokens[:, 4:].tolist()
    alone = [
        generate(model, row[keep.bool()][None], None, config).tokens[0, -16:].tolist()
        for row, keep in zip(ids, attention, strict=True)
    ]
    assert together == alone


def test_an_answer_that_does_not_stop_grows_to_the_limit_and_one_that_stops_does_not():
    ids = torch.tensor([[1, 2, 3]])
    never = random_model(0, favourites=0.0)
    result = generate(never, ids, None, growing("none", 0.0))
    assert result.answer_lengths.tolist() == [16]
    at_once = random_model(0)
    with torch.no_grad():
        at_once.get_output_embeddings().weight[EOS] = 40 * at_once.hidden(torch.tensor([[1, 2, 3] + [MASK] * 4]))[0, -1]
    result = generate(at_once, ids, None, growing("none", 0.5))
    assert result.answer_lengths.item() <= 4
    assert set(result.tokens[0, 3 + result.answer_lengths.item() :].tolist()) <= {EOS, EOT}


def test_looking_ahead_gives_the_answer_room_from_the_start():
    model = random_model(0, favourites=0.0)
    steps = list(denoise(model, torch.tensor([[1, 2, 3]]), None, growing("none", 0.5)))
    assert int((steps[0].tokens == MASK).sum()) == 15
    steps = list(denoise(model, torch.tensor([[1, 2, 3]]), None, growing("none", 0.0)))
    assert int((steps[0].tokens == MASK).sum()) == 3


@pytest.mark.parametrize("rule", ["quota", "revoke"])
def test_the_last_step_shows_the_result(rule):
    config = SamplerConfig(gen_length=8, block_length=4, steps=8, rule=rule, stop_at_eos=True)
    ids = torch.tensor([[1, 2, 3], [4, 5, 6]])
    for model in MODELS:
        *_, last = denoise(model, ids, None, config)
        assert torch.equal(last.tokens, generate(model, ids, None, config).tokens)
