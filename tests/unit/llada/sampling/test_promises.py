"""The engine's promises for every rule, cache and stop: whatever stands beside a row, its answer is its own."""

import itertools
import random
from collections.abc import Callable
from typing import Any

import pytest
import torch

from llada import SamplerConfig, denoise
from llada.sampling.engine import Engine
from llada.sampling.rules import RULES
from tests.support.reference_sampler import EOS, EOT, MASK, random_model, single_thread
from tests.unit.llada.sampling.test_generate import KNOWN, answers, left_padded

one_thread = pytest.fixture(autouse=True, scope="module")(single_thread)
MODELS = [random_model(seed, kv_heads, favourites=1.6) for seed, kv_heads in ((3, 1), (4, 2))]
STOPS = {
    "full": {},
    "at_eos": {"stop_at_eos": True},
    "sched_linear": {"early_exit": "sched_linear", "exit_gap_first": 3.0, "exit_gap_last": 0.5},
    "sched_cosine": {"early_exit": "sched_cosine", "exit_gap_first": 3.0, "exit_gap_last": 0.5, "stop_at_eos": True},
    "stable": {"early_exit": "stable", "exit_entropy": 2.5},
}
CASES = list(itertools.product(RULES, ("none", "prefix", "dual"), STOPS))


def case(rule: str, cache: str, stop: str) -> tuple[SamplerConfig, list[list[int]], list[list[int]], dict]:
    fixed = {"threshold": 0.3, "draft_threshold": 0.2, **STOPS[stop]}
    return drawn_case(random.Random(f"{rule} {cache} {stop}"), rule=rule, cache=cache, **fixed)


def drawn_case(
    chance: random.Random, more: Callable[[random.Random], dict] = lambda _: {}, **fixed: Any
) -> tuple[SamplerConfig, list[list[int]], list[list[int]], dict]:
    """Settings, prompts of different lengths, answers to fill in and a constraint. more: further settings, drawn."""
    config = SamplerConfig(
        gen_length=8,
        block_length=4,
        steps=chance.choice([4, 8]),
        cache_refresh=chance.choice([0, 2]),
        leap_threshold=0.1,
        kl_threshold=1.0,
        temperature=chance.choice([0.0, 0.7]),
        remasking=chance.choice(["low_confidence", "margin", "positional"]),
        guidance_scale=chance.choice([0.0, 1.0]),
        draft_steps=chance.choice([0, 2]),
        **more(chance),
        **fixed,
    )
    rows = [[chance.randrange(39) for _ in range(length)] for length in (1, 3, 5)]
    templates = [[chance.choice([MASK, MASK, MASK, chance.randrange(39)]) for _ in range(8)] for _ in rows]
    return config, rows, templates, {chance.randrange(8): [chance.randrange(39), EOT]}


@pytest.mark.parametrize(("rule", "cache", "stop"), CASES)
def test_a_row_is_its_own_and_every_step_commits_until_no_mask_is_left(rule, cache, stop):
    config, rows, templates, allowed = case(rule, cache, stop)
    model, which = MODELS[len(rule) % 2], len(cache + stop) % 3
    ids, attention = left_padded(rows)
    tokens, masks, passes = ids, sum(token == MASK for template in templates for token in template), 0
    noise = torch.Generator().manual_seed(0)
    for step in denoise(model, ids, attention, config, noise, answer=torch.tensor(templates), allowed=allowed):
        tokens, left = step.tokens, int((step.tokens == MASK).sum())
        assert bool(step.revealed.any())
        assert left < masks or rule == "revoke"  # which may mask again as many as it commits
        assert passes <= step.forward_passes <= passes + 1
        masks, passes = left, step.forward_passes
    together = tokens[:, ids.shape[1] :].tolist()
    template = torch.tensor([templates[which]])
    assert answers(model, [rows[which]], config, answer=template, allowed=allowed) == [together[which]]
    for template, answer in zip(templates, together, strict=True):
        end = len(answer)
        if config.stop_at_eos:
            end = next((place + 1 for place, token in enumerate(answer) if token in (EOS, EOT)), end)
        assert all(token != MASK and token < KNOWN for token in answer)
        assert all(given in (MASK, token) for given, token in zip(template[:end], answer, strict=False))
        free = [place for place in allowed if template[place] == MASK and place < end]
        assert all(answer[place] in allowed[place] for place in free)


@pytest.mark.parametrize(("rule", "cache", "stop"), CASES[::3])
def test_a_row_that_is_given_up_costs_nothing_and_changes_no_other(rule, cache, stop):
    config, rows, _, _ = case(rule, cache, stop)
    model, chance = MODELS[len(rule) % 2], random.Random(f"{stop} {cache} {rule}")
    ids, attention = left_padded(rows)
    left, when = chance.randrange(3), chance.randrange(1, 4)
    numbers = [7, 8, 9]
    alone = answers(model, rows, config, row_ids=numbers)
    noise = torch.Generator().manual_seed(0)
    engine = Engine(model, ids, attention, config, noise, None, None, numbers)
    for number, step in enumerate(engine.run(), start=1):
        if number > when:
            assert not step.revealed[left].any()
        if number == when:
            engine.drop(left)
    width = ids.shape[1]
    for row in {0, 1, 2} - {left}:
        assert engine.sequences.tokens[row, width:].tolist() == alone[row]
    assert MASK not in engine.sequences.tokens[left].tolist()
