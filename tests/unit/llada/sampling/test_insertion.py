"""Answers that grow in the middle (DAEDAL's second stage): against a slow second implementation, and the promises."""

import itertools
import random
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eval.measure.generation import trace_answers
from llada import SamplerConfig, denoise, generate
from llada.sampling.growth import Move, splits
from llada.sampling.rules import RULES
from tests.support.imports import LONG
from tests.support.reference_sampler import COMMITS, EOS, EOT, MASK, growing_answer, random_model, single_thread
from tests.unit.llada.sampling.test_generate import KNOWN, answers, left_padded
from tests.unit.llada.sampling.test_promises import drawn_case

one_thread = pytest.fixture(autouse=True, scope="module")(single_thread)
MODELS = [random_model(seed, kv_heads, favourites=1.4) for seed, kv_heads in ((3, 1), (4, 2), (5, 2))]
STOPS = {
    "at_eos": {},
    "sched_linear": {"early_exit": "sched_linear", "exit_gap_first": 4.0, "exit_gap_last": 1.5},
    "sched_cosine": {"early_exit": "sched_cosine", "exit_gap_first": 4.0, "exit_gap_last": 1.5},
    "stable": {"early_exit": "stable", "exit_entropy": 2.0},
}
G = 16
properties = settings(max_examples=60 if LONG else 2, deadline=None, derandomize=True)
properties = settings(properties, suppress_health_check=list(HealthCheck))


@st.composite
def configs(draw: st.DrawFn, **fixed) -> SamplerConfig:
    block_length = draw(st.sampled_from([1, 2, 3, 4]))
    blocks = draw(st.integers(1, 2))
    values = {
        "gen_length": block_length * blocks,
        "block_length": block_length,
        "max_gen_length": block_length * draw(st.integers(blocks, 6)),
        "steps": blocks * draw(st.integers(1, block_length + 1)),
        "stop_at_eos": True,
        "tail_confidence": draw(st.sampled_from([0.0, 0.05])),
        "insert_masks": draw(st.sampled_from([2, 3, 8])),
        "insert_below": draw(st.sampled_from([0.2, 0.5, 1.0])),
        "insert_tail_confidence": draw(st.sampled_from([0.1, 0.9])),
        "guidance_scale": draw(st.sampled_from([0.0, 1.0])),
        "threshold": draw(st.sampled_from([0.4, 0.9])),
        "credit_weight": draw(st.sampled_from([0.7, 3.0])),
        "kl_threshold": draw(st.sampled_from([0.01, 1.0])),
        "kl_steps": draw(st.integers(1, 2)),
        "cache": draw(st.sampled_from(["none", "prefix", "dual"])),
        "cache_refresh": draw(st.integers(0, 2)),
        "draft_steps": draw(st.sampled_from([0, 0, 2])),
        "eos_policy": draw(st.sampled_from(["none", "none", "suppress"])),
        **STOPS[draw(st.sampled_from(list(STOPS)))],
    }
    return SamplerConfig(**{**values, **fixed})


@pytest.mark.parametrize("rule", COMMITS)
@properties
@given(
    st.sampled_from(MODELS),
    st.lists(st.lists(st.integers(0, 38), min_size=1, max_size=5), min_size=1, max_size=3),
    configs(),
    st.data(),
)
def test_batches_equal_the_second_implementation(rule, model, rows, config, data):
    config = replace(config, rule=rule)
    tokens = st.sampled_from([MASK, MASK, MASK, 7, 8])
    template = [data.draw(st.lists(tokens, min_size=config.gen_length, max_size=config.gen_length)) for _ in rows]
    allowed = {0: [3, 5, EOT]} if data.draw(st.booleans()) else None
    expected = [growing_answer(model, *row, allowed) for row in zip(rows, itertools.repeat(config), template)]
    found = answers(model, rows, config, answer=torch.tensor(template), allowed=allowed)
    assert found == [answer for answer, _ in expected]
    if len(rows) == 1 and config.draft_steps == 0:
        result = generate(model, torch.tensor(rows), None, config, answer=torch.tensor(template), allowed=allowed)
        assert result.forward_passes == expected[0][1]


def case(rule: str, cache: str, stop: str) -> tuple[SamplerConfig, list[list[int]], list[list[int]], dict]:
    fixed = {"max_gen_length": G, "threshold": 0.5, "draft_threshold": 0.5, "stop_at_eos": True, "insert_below": 0.6}
    chance = random.Random(f"{rule} {cache} {stop}")
    return drawn_case(chance, insertions, rule=rule, cache=cache, **fixed, **STOPS[stop])


def insertions(chance: random.Random) -> dict:
    return {"tail_confidence": chance.choice([0.0, 0.05]), "insert_masks": chance.choice([3, 8])}


CASES = list(itertools.product(RULES, ("none", "prefix", "dual"), STOPS))
CASES = CASES if LONG else CASES[::8] + CASES[5::16]
inserted: dict[str, int] = {}


@pytest.mark.parametrize(("rule", "cache", "stop"), CASES)
def test_a_row_is_its_own_and_every_step_commits_until_no_mask_is_left(rule, cache, stop):
    config, rows, templates, allowed = case(rule, cache, stop)
    model, which = MODELS[len(rule) % 3], len(cache + stop) % 3
    ids, attention = left_padded(rows)
    canvas = [list(template) for template in templates]  # the given tokens, as they move
    limits = [{place: allowed[place] for place in allowed if row[place] == MASK} for row in canvas]
    before, steps = None, 0
    noise = torch.Generator().manual_seed(0)
    for step in denoise(model, ids, attention, config, noise, answer=torch.tensor(templates), allowed=allowed):
        steps += 1
        assert bool(step.revealed.any())
        assert not bool((step.revealed & (step.tokens == MASK)).any())
        for row, (place, more) in enumerate(step.inserted.tolist()):
            if not more:
                continue
            inserted[rule] = inserted.get(rule, 0) + 1
            assert place not in limits[row]
            assert set(step.tokens[row, ids.shape[1] + place :][: more + 1].tolist()) == {MASK}
            canvas[row][place : place + 1] = [MASK] * (more + 1)
            limits[row] = {at + more * (at > place): tokens for at, tokens in limits[row].items()}
        before = step.tokens
    assert before is not None
    assert steps <= 3 * G * (2 if rule == "revoke" else 1)
    together = before[:, ids.shape[1] :].tolist()
    template = torch.tensor([templates[which]])
    assert answers(model, [rows[which]], config, answer=template, allowed=allowed) == [together[which]]
    for given_tokens, limit, answer in zip(canvas, limits, together, strict=True):
        end = next((place + 1 for place, token in enumerate(answer) if token in (EOS, EOT)), G)
        assert len(answer) == G
        assert all(token != MASK and token < KNOWN for token in answer)
        kept = zip(given_tokens[:end], answer, strict=False)
        assert all(given_token in (MASK, token) for given_token, token in kept)
        assert all(answer[place] in tokens for place, tokens in limit.items() if place < end)


def test_every_rule_has_inserted_something():
    assert set(inserted) == set(RULES)


def test_without_drafts_tokens_are_those_with_them():
    for model, cache in zip(MODELS, ("none", "prefix", "dual"), strict=True):
        config = replace(case("quota", cache, "at_eos")[0], draft_steps=0)
        rows = [[1, 2, 3], [4]]
        assert answers(model, rows, config) == answers(model, rows, replace(config, draft_steps=2))


def test_a_trace_replays_the_answer_although_positions_moved():
    """`trace_answers` numbers positions as in the finished answer: its commits, replayed, are that answer."""
    numbers = SimpleNamespace(pad_token_id=EOS, decode=lambda ids, **_: str(ids[0]))
    rows, moved = [[1, 2, 3], [4, 5, 6], [7, 8]], 0
    for rule in ("threshold", "revoke"):
        config = replace(case(rule, "dual", "at_eos")[0], insert_masks=3, temperature=0.7)
        traces = trace_answers(MODELS[0], numbers, rows, config, rows=range(3), seed=1)
        noise = torch.Generator().manual_seed(1)
        result = generate(MODELS[0], *left_padded(rows), config, noise, row_ids=range(3))
        moved += int((result.answer_lengths > config.gen_length).sum())
        for row, trace in enumerate(traces):
            replayed = {}
            for step in trace["steps"]:
                for place in step["take_back"]:
                    del replayed[place]
                replayed |= {place: int(piece) for place, piece, _ in step["commit"]}
            length = int(result.answer_lengths[row])
            answer = result.tokens[row, 3:].tolist()[:length]
            assert [replayed[place] for place in range(length)] == answer
    assert moved


def test_a_mask_of_which_nothing_is_known_becomes_many_until_the_end_is_expected():
    config = SamplerConfig(8, 8, 8, stop_at_eos=True, max_gen_length=32, insert_masks=8)
    chances = torch.tensor([[0.5, 0.05, 0.01, 0.2], [0.5, 0.05, 0.01, 0.2], [0.5, 0.3, 0.2, 0.2], [0.5, 0.0, 0.0, 0.2]])
    waiting = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 1], [1, 1, 1, 1], [1, 1, 1, 1]]).bool()
    ending = torch.tensor([0.0, 0.89, 0.0, 0.9])
    place, more = splits(chances, waiting, ending, torch.tensor([24, 3, 24, 24]), config)
    assert (place.tolist()[:2], more.tolist()) == ([2, 1], [7, 3, 0, 0])
    assert splits(chances[:1], waiting[:1], ending[:1], torch.tensor([0]), config)[1].item() == 0


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 99), min_size=1, max_size=12), st.data())
def test_a_move_is_an_insertion_into_a_list(row, data):
    place, more = data.draw(st.integers(0, len(row) - 1)), data.draw(st.integers(1, 8))
    table = torch.tensor([[5] * len(row), row])
    move = Move(torch.tensor([1]), torch.tensor([place]), torch.tensor([more]), len(row))
    expected = (row[:place] + [-1] * (more + 1) + row[place + 1 :])[: len(row)]
    move.apply(table, new=-1)
    assert table.tolist() == [[5] * len(row), expected]
    start = data.draw(st.integers(0, place))
    part = torch.tensor([[0] * len(row), row])[:, start:]
    move.within(slice(start, len(row))).apply(part, new=-1)
    assert part[1].tolist() == expected[start:]
