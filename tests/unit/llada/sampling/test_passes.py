"""Exact speculation: the tokens of one pass per step, with fewer passes."""

import random
from collections import Counter
from dataclasses import replace

import pytest
import torch

from llada import SamplerConfig, denoise, generate
from llada.sampling.rules import RULES
from tests.support.imports import LONG
from tests.support.reference_sampler import MASK, random_model, single_thread
from tests.unit.llada.sampling.test_generate import left_padded

one_thread = pytest.fixture(autouse=True, scope="module")(single_thread)
MODELS = [random_model(seed, kv_heads, favourites=1.6) for seed, kv_heads in ((0, 1), (1, 2), (2, 2))]
CASES = 1000 if LONG else 60


def random_case(chance: random.Random) -> tuple[list[list[int]], SamplerConfig]:
    """Prompts of one batch and settings without drafts."""
    rows = [[chance.randrange(39) for _ in range(chance.randint(1, 4))] for _ in range(chance.randint(1, 3))]
    block_length, blocks = chance.choice([(6, 1), (4, 2), (3, 2)])
    cache = chance.choice(["none", "prefix", "dual"])
    return rows, SamplerConfig(
        gen_length=block_length * blocks,
        block_length=block_length,
        steps=blocks * chance.randint(2, block_length),
        rule=chance.choice(["quota", "threshold", *RULES]),
        threshold=chance.choice([0.1, 0.3, 0.9]),
        entropy_bound=chance.choice([0.1, 2.0]),
        draft_threshold=0.2,
        kl_threshold=1.0,
        temperature=chance.choice([0.0, 0.0, 0.7]),
        guidance_scale=chance.choice([0.0, 0.0, 1.0]),
        cache=cache,
        cache_refresh=chance.choice([0, 0, 2, 3]),
        stop_at_eos=chance.random() < 0.5,
        early_exit=chance.choice(["none", "none", "sched_linear", "stable"]),
        exit_gap_first=3.0,
        exit_gap_last=1.0,
        exit_entropy=1.0,
    )


def test_speculation_changes_no_token_in_a_thousand_random_cases():
    chance, passes = random.Random(0), Counter()
    for case in range(CASES):
        rows, config = random_case(chance)
        ids, attention = left_padded(rows)
        model = chance.choice(MODELS)
        seeded = [torch.Generator().manual_seed(case) for _ in range(2)]
        plain = generate(model, ids, attention, config, seeded[0])
        drafted = replace(config, draft_steps=chance.choice([1, 2, 4]))
        speculative = generate(model, ids, attention, drafted, seeded[1])
        assert torch.equal(plain.tokens, speculative.tokens), (rows, drafted)
        passes[config.rule] += plain.forward_passes
        passes["drafted " + config.rule] += speculative.forward_passes
    for rule in ("quota", "threshold"):
        assert passes["drafted " + rule] < passes[rule]


@pytest.mark.parametrize("cache", ["none", "prefix", "dual"])
def test_a_model_that_never_changes_its_mind_needs_one_more_pass_than_drafts_need(cache):
    """Without attention between positions a prediction stands for ever, so every draft comes true."""
    model = random_model(0)
    with torch.no_grad():
        for block in model.model.transformer.blocks:
            block.attn_out.weight.zero_()
    config = SamplerConfig(gen_length=8, block_length=8, steps=8, cache=cache)
    ids = torch.tensor([[1, 2, 3], [4, 5, 6]])
    for drafts, passes in ((0, 8), (1, 5), (3, 3), (7, 2)):
        result = generate(model, ids, None, replace(config, draft_steps=drafts))
        assert result.forward_passes == passes  # the first step has nothing to draft from
        assert torch.equal(result.tokens, generate(model, ids, None, config).tokens)


@pytest.mark.parametrize("cache", ["none", "dual"])
def test_every_row_takes_its_own_steps_whatever_the_others_need(cache):
    """Rows advance where their states are known; the steps of one are those that it takes alone."""
    config = SamplerConfig(gen_length=8, block_length=8, steps=8, cache=cache, draft_steps=3)
    rows = [[1, 2, 3], [9, 4, 4], [7, 7, 7]]

    def orders(ids: torch.Tensor) -> list[list[list[int]]]:
        taken: list[list[list[int]]] = [[] for _ in ids]
        for step in denoise(MODELS[1], ids, None, config):
            for row in step.revealed.any(dim=1).nonzero()[:, 0].tolist():
                taken[row].append(step.revealed[row].nonzero()[:, 0].tolist())
            assert bool(step.revealed.any())
        return taken

    together = orders(torch.tensor(rows))
    assert together == [orders(torch.tensor([row]))[0] for row in rows]


def test_given_tokens_and_drafts_agree():
    config = SamplerConfig(gen_length=8, block_length=4, steps=8, rule="threshold", threshold=0.2)
    template = torch.tensor([[5, MASK, MASK, 6, MASK, 7, MASK, MASK]])
    ids = torch.tensor([[1, 2, 3]])
    plain = generate(MODELS[2], ids, None, config, answer=template)
    drafted = generate(MODELS[2], ids, None, replace(config, draft_steps=2), answer=template)
    assert torch.equal(plain.tokens, drafted.tokens)
