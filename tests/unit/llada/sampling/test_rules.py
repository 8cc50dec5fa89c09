"""Rules against their definitions by enumeration, scores against closed forms, noise against its distribution."""

import json
import math
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from llada import SamplerConfig, denoise, generate
from llada.sampling import rules
from llada.sampling.noise import fold, gumbel, row_keys, uniform
from llada.sampling.settings import RuleName
from llada.sampling.token_choice import TokenChooser, nucleus, token_frequencies
from tests.support.imports import REPOSITORY
from tests.support.reference_sampler import MASK, random_model, single_thread

one_thread = pytest.fixture(autouse=True, scope="module")(single_thread)
SCHEDULES = json.loads((REPOSITORY / "tests" / "oracle" / "data" / "likelihood.json").read_text())
properties = settings(max_examples=100, deadline=None, derandomize=True)

scores = st.lists(st.one_of(st.none(), st.sampled_from([i / 64 for i in range(65)])), min_size=1, max_size=7)
"""One block: None where nothing is masked."""


def tensors(row: list[float | None]) -> tuple[torch.Tensor, torch.Tensor]:
    score = torch.tensor([[-math.inf if value is None else value for value in row]])
    return score, score.isfinite()


def positions(rule: str, row: list[float | None], calm: list[int] | None = None, **values: float) -> list[int]:
    """What a rule commits of one block, in the first of one or more steps; the row holds entropies for their rule."""
    score, masked = tensors(row)
    config = SamplerConfig(gen_length=len(row), block_length=len(row), rule=rule, **{"steps": 1, **values})
    state = rules.BlockState(
        score=score,
        masked=masked,
        entropy=score.masked_fill(~masked, math.nan),
        config=config,
        step=torch.tensor([0]),
        opened=masked.sum(dim=1),
        before=torch.tensor([0]),
        after=0,
        calm=None if calm is None else torch.tensor([calm[: len(row)]]),
    )
    return rules.RULES[rule].commit(state).nonzero()[:, 1].tolist()


def ranked(row: list[float | None], reverse: bool) -> list[int]:
    places = [place for place, value in enumerate(row) if value is not None]
    return sorted(places, key=lambda place: (-row[place] if reverse else row[place], place))


@pytest.mark.parametrize("case", SCHEDULES["num_transfer_tokens"], ids=lambda case: f"{case['masks']}/{case['steps']}")
def test_quota_schedule_equals_the_published_one(case):
    masks = torch.tensor([case["masks"]])
    schedule = [int(rules.quota_of_step(masks, case["steps"], step)) for step in range(case["steps"])]
    assert schedule == case["schedule"]


@properties
@given(scores, st.integers(1, 7))
def test_quota_takes_the_best_and_breaks_ties_as_topk(row, steps):
    score, masked = tensors(row)
    quota = math.ceil(int(masked.sum()) / steps)
    assert positions("quota", row, steps=steps) == sorted(score[0].topk(quota).indices.tolist())


def test_the_settings_name_the_rules_of_the_table():
    assert get_args(RuleName) == tuple(rules.RULES)


@properties
@given(scores, st.sampled_from([0.0, 0.25, 0.5, 1.0]))
def test_threshold_takes_all_above_it_and_always_the_best(row, threshold):
    order = ranked(row, reverse=True)
    assert positions("threshold", row, threshold=threshold) == sorted(
        {*order[:1], *(place for place in order if row[place] > threshold)}
    )


@properties
@given(scores, st.sampled_from([0.0, 0.5, 1.0, 2.0]))
def test_factor_takes_the_largest_n_that_satisfies_its_bound(row, factor):
    order = ranked(row, reverse=True)
    sizes = [n for n in range(1, len(order) + 1) if row[order[n - 1]] >= 1 - factor / (n + 1)]
    assert positions("factor", row, factor=factor) == sorted(order[: max(sizes, default=1)])


@properties
@given(scores, st.sampled_from([0.0, 0.25, 1.0, 9.0]))
def test_entropy_bound_takes_the_largest_prefix_within_its_bound(row, bound):
    order = ranked(row, reverse=False)
    sums = [sum(row[place] for place in order[:n]) - row[order[n - 1]] for n in range(1, len(order) + 1)]
    taken = positions("entropy_bound", row, entropy_bound=bound)
    assert taken == sorted(order[: sum(value <= bound for value in sums)])


@properties
@given(scores, st.sampled_from([0.0, 0.25, 0.5, 1.0]))
def test_revoke_drafts_by_its_threshold_and_all_that_is_left_in_the_last_step(row, threshold):
    assert positions("revoke", row, steps=2, draft_threshold=threshold) == positions(
        "threshold", row, threshold=threshold
    )
    assert positions("revoke", row, draft_threshold=threshold) == sorted(ranked(row, reverse=True))


@properties
@given(scores, st.integers(0, 7), st.sampled_from([0.5, 0.9]))
def test_less_is_taken_back_than_drafted_and_the_worst_first(row, drafted, threshold):
    kept, verified = tensors(row)
    taken = rules.take_back(kept, verified, torch.tensor([drafted]), threshold).nonzero()[:, 1].tolist()
    doubted = [place for place in ranked(row, reverse=False) if row[place] < threshold]
    assert taken == sorted(doubted[: max(0, drafted - 1)])


@properties
@given(scores, st.sampled_from([0.5, 0.75, 0.9]), st.sampled_from([0.25, 0.5]), st.integers(0, 6))
def test_local_leap_asks_less_within_its_distance_of_an_anchor(row, threshold, lower, distance):
    order = ranked(row, reverse=True)
    anchors = [place for place in order if row[place] >= threshold]
    near = [p for p in order if row[p] >= lower and any(abs(p - anchor) <= distance for anchor in anchors)]
    taken = positions("local_leap", row, threshold=threshold, leap_threshold=lower, leap_distance=distance)
    assert taken == sorted({*anchors, *near, *order[:1]})


@properties
@given(scores, st.sampled_from([0.5, 0.9]), st.sampled_from([0.0, 0.25, 0.5]))
def test_hierarchy_takes_the_best_of_each_run_of_masks_too(row, threshold, lower):
    order = ranked(row, reverse=True)
    places, runs = sorted(order), []
    for place in places:
        runs = [*runs[:-1], [*runs[-1], place]] if place - 1 in places else [*runs, [place]]
    leads = [next(place for place in order if place in run) for run in runs]  # in order of score, then of place
    taken = positions("hierarchy", row, threshold=threshold, run_threshold=lower)
    above = [place for place in order if row[place] > threshold]
    assert taken == sorted({*order[:1], *above, *(place for place in leads if row[place] > lower)})


@properties
@given(scores, st.lists(st.integers(0, 3), min_size=7, max_size=7), st.integers(1, 3), st.integers(1, 7))
def test_klass_takes_what_is_sure_and_stable_or_else_its_quota(row, calm, kl_steps, steps):
    order = ranked(row, reverse=True)
    ready = [place for place in order if row[place] > 0.5 and calm[place] >= kl_steps]
    quota = max(1, math.ceil(len(order) / steps))
    taken = positions("klass", row, calm=calm, threshold=0.5, kl_steps=kl_steps, steps=steps)
    assert taken == sorted(ready or order[:quota])


@pytest.mark.parametrize(
    ("progress", "linear", "cosine"), [(0, 7.5, 7.5), (0.25, 6.25, 6.768), (1, 2.5, 2.5), (3, 2.5, 2.5)]
)
def test_the_bound_on_the_gap_falls_with_progress(progress, linear, cosine):
    for schedule, expected in (("sched_linear", linear), ("sched_cosine", cosine)):
        bound = rules.gap_bound(torch.tensor([float(progress)]), SamplerConfig(early_exit=schedule))
        assert bound.item() == pytest.approx(expected, abs=1e-3)


def test_exits_ask_for_the_gap_or_for_a_still_and_sure_answer():
    progress = torch.tensor([1.0])
    sched, stable = (SamplerConfig(early_exit=name) for name in ("sched_linear", "stable"))
    assert [rules.exits(torch.tensor([gap]), progress < 0, progress, sched).item() for gap in (2.4, 2.5)] == [
        False,
        True,
    ]
    for unchanged, entropy, leaves in ((True, 0.004, True), (True, 0.005, False), (False, 0.0, False)):
        assert rules.exits(torch.tensor([entropy]), torch.tensor([unchanged]), progress, stable).item() is leaves


@pytest.mark.parametrize("frequencies", [None, [0.5, 0.0, 0.1, 0.2, 0.2]])
def test_the_positional_score_equals_its_closed_form(frequencies):
    logits = torch.tensor([[2.0, 1.0, 5.0, -1.0, 0.0], [0.0, 9.0, 0.0, 0.0, 0.0]])
    table = None if frequencies is None else torch.tensor(frequencies)
    chooser = TokenChooser(SamplerConfig(remasking="positional"), torch.tensor([2]), torch.tensor([4]), table)
    choices = chooser.choose(logits.clone(), places=torch.tensor([3, 0]))
    assert choices.tokens.tolist() == [0, 1]
    for row, (token, place) in enumerate(((0, 3), (1, 0))):
        p = logits[row].double().softmax(dim=0)[token].item()
        f = 0.2 if frequencies is None else max(frequencies[token], 1e-9)
        assert choices.scores[row].item() == pytest.approx(math.exp(-0.25 * place) * min(-p * math.log(f), 10) / 10)


def test_frequencies_count_tokens_and_what_never_occurs_once():
    assert token_frequencies([[0, 0, 2], [2]], 4).tolist() == [0.5, 0.25, 0.5, 0.25]
    with pytest.raises(ValueError, match=r"frequencies is \(3,\); needed: \(48,\) shares"):
        generate(random_model(0), torch.tensor([[1]]), frequencies=torch.ones(3))


@pytest.mark.parametrize("remasking", ["low_confidence", "margin", "entropy"])
def test_scores_equal_their_closed_forms(remasking):
    logits = torch.tensor([[2.0, 1.0, 5.0, -1.0, 0.0]])
    p = logits.double().softmax(dim=-1)[0]
    chooser = TokenChooser(SamplerConfig(remasking=remasking), forbidden=torch.tensor([2]), stops=torch.tensor([4]))
    choices = chooser.choose(logits.clone())
    assert choices.tokens.tolist() == [0]  # 2 is the most probable, and forbidden, but counts in the softmax
    expected = {
        "low_confidence": p[0],
        "margin": p[0] - p[1],
        "entropy": torch.exp((p * p.log()).sum()),
    }
    assert choices.scores.item() == pytest.approx(expected[remasking].item(), rel=1e-6)


def test_nucleus_is_the_smallest_set_that_reaches_its_mass():
    logits = torch.tensor([[0.5, 0.2, 0.2, 0.1]]).log()
    assert nucleus(logits, 0.5).isfinite().tolist() == [[True, False, False, False]]
    assert nucleus(logits, 0.65).isfinite().sum() == 2
    assert nucleus(logits, 0.95).isfinite().all()


def test_noise_is_uniform_and_independent_over_rows_places_and_tokens():
    keys = fold(row_keys([[1], [2], [1]], torch.Generator().manual_seed(0), None)[:, None], torch.arange(40)).flatten()
    values = uniform(keys, 500).numpy()  # (120, 500)
    assert ((values > 0) & (values < 1)).all()
    assert stats.kstest(values.flatten(), "uniform").pvalue > 1e-3
    assert stats.kstest(values[:, 0], "uniform").pvalue > 1e-3
    assert abs(stats.pearsonr(values[:-1].flatten(), values[1:].flatten()).statistic) < 4 / math.sqrt(values.size)
    assert abs(stats.pearsonr(values[:, :-1].flatten(), values[:, 1:].flatten()).statistic) < 4 / math.sqrt(values.size)


def test_gumbel_noise_has_its_distribution():
    values = gumbel(fold(torch.zeros(100, dtype=torch.int64), torch.arange(100)), 100).numpy()
    assert stats.kstest(values.flatten(), "gumbel_r").pvalue > 1e-3


@pytest.mark.parametrize(("temperature", "top_p"), [(0.7, 1.0), (1.5, 1.0), (1.0, 0.6)])
def test_committed_tokens_follow_the_tempered_distribution(temperature, top_p):
    """A one-token answer, 4,000 times: chi-square against softmax(logits / T) without the ids that are never chosen."""
    model, rows = random_model(3), 4000
    logits = model(torch.tensor([[1, 2, 3, MASK]])).logits[0, -1].detach() / temperature
    logits[[MASK, *range(43, 48)]] = -torch.inf
    expected = logits.softmax(dim=0)
    if top_p < 1:
        ordered, order = expected.sort(descending=True)
        expected[order[int((ordered.cumsum(dim=0) < top_p).sum()) + 1 :]] = 0
        expected /= expected.sum()
    config = SamplerConfig(gen_length=1, block_length=1, steps=1, temperature=temperature, top_p=top_p)
    tokens = generate(model, torch.tensor([[1, 2, 3]] * rows), None, config, torch.Generator().manual_seed(1)).tokens
    counts = torch.bincount(tokens[:, -1], minlength=48).double()
    assert counts[expected == 0].sum() == 0
    often = expected * rows >= 5
    observed = torch.cat((counts[often], counts[~often].sum()[None])).numpy()
    wanted = torch.cat((expected[often], expected[~often].sum()[None])).numpy() * rows
    keep = wanted > 0
    assert stats.chisquare(observed[keep], wanted[keep]).pvalue > 1e-3


def test_random_remasking_commits_every_place_equally_often():
    model, rows, K = random_model(3), 3000, 5
    config = SamplerConfig(gen_length=K, block_length=K, steps=K, remasking="random")
    first = next(denoise(model, torch.tensor([[1]] * rows), None, config, torch.Generator().manual_seed(2)))
    assert stats.chisquare(first.revealed[:, 1:].sum(dim=0).numpy()).pvalue > 1e-3
