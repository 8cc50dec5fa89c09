"""Credits against the matrix of the paper, divergences against torch's, the outlook against a mean by hand."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import kl_div, log_softmax

from llada import SamplerConfig
from llada.sampling.history import Calm, Credits, Outlook
from llada.sampling.token_choice import TokenChoices

properties = settings(max_examples=40, deadline=None, derandomize=True)
B, K, V = 2, 3, 6
steps = st.lists(st.sets(st.tuples(st.integers(0, B - 1), st.integers(0, K - 1)), min_size=1), min_size=1, max_size=5)
"""For each step the masked positions."""


@properties
@given(steps, st.integers(0, 99), st.sampled_from([0.0, 0.5, 0.8, 1.0]), st.sampled_from([0.2, 1.0]))
def test_credits_equal_the_papers_matrix(masked, seed, decay, power):
    config = SamplerConfig(gen_length=K, block_length=K, credit_decay=decay, credit_power=power, credit_weight=0.7)
    generator = torch.Generator().manual_seed(seed)
    credits, matrix = Credits(B, config, torch.device("cpu")), torch.zeros(B, K, V, dtype=torch.float64)
    for positions in masked:
        logits = torch.randn(B, K, V, generator=generator)
        places = sorted(positions)
        matrix *= decay
        for row, place in places:
            p = logits[row, place].double().softmax(dim=0)
            matrix[row, place, p.argmax()] += p.max() ** power
        expected = torch.stack([(logits[b, k] + 0.7 * torch.log(1 + matrix[b, k])) for b, k in places])
        at, place = torch.tensor(places).T
        credits.decay(torch.arange(B))
        raised = credits.raised(logits[at, place], logits[at, place].argmax(dim=-1), at, place)
        torch.testing.assert_close(raised, expected.float(), atol=1e-5, rtol=1e-5)


@properties
@given(st.integers(0, 99), st.sampled_from([0.01, 0.3, 2.0]))
def test_calm_counts_the_steps_of_small_divergence(seed, bound):
    config = SamplerConfig(gen_length=K, block_length=K, kl_threshold=bound)
    generator = torch.Generator().manual_seed(seed)
    calm, count, before = Calm(B, config, torch.device("cpu")), torch.zeros(B, K, dtype=torch.int64), None
    at, place = torch.ones(B, K).nonzero(as_tuple=True)
    base = torch.randn(B, K, V, generator=generator)
    for _ in range(4):
        now = log_softmax(base + 0.5 * torch.randn(B, K, V, generator=generator), dim=-1)
        calm.look(now.flatten(0, 1), at, place)
        if before is not None:
            divergence = kl_div(before, now, log_target=True, reduction="none").sum(dim=-1)  # KL(now || before)
            count = torch.where(divergence < bound, count + 1, 0)
        assert torch.equal(calm.steps, count)
        before = now


def test_a_token_that_is_impossible_in_both_steps_adds_nothing_to_the_divergence():
    calm = Calm(1, SamplerConfig(gen_length=1, block_length=1), torch.device("cpu"))
    now, here = torch.tensor([[0.0, -torch.inf]]), torch.tensor([0])
    for _ in range(3):
        calm.look(now, here, here)
    assert calm.steps.tolist() == [[2]]


def test_the_outlook_looks_at_what_is_in_use_and_at_each_rows_own_steps():
    config = SamplerConfig(
        gen_length=3, block_length=3, steps=4, early_exit="sched_linear", exit_gap_first=4.0, exit_gap_last=0.0
    )
    answers = torch.tensor([[7, 9, 0], [7, 9, 9]])
    outlook, used = Outlook(answers, config), torch.tensor([[True, True, False], [True, True, True]])
    at, place = torch.ones(2, 3).nonzero(as_tuple=True)
    gaps = torch.tensor([3.0, 3.0, 0.0, 3.0, 3.0, 0.0])  # means 3 and 2, bounds 3, 2, 1, 0
    said = TokenChoices(torch.full((6,), 5), torch.ones(6), None, gaps)
    outlook.note(at, place, said)
    first = outlook.leaving(torch.tensor([0, 1]), answers, answers == 9, used)
    second = outlook.leaving(torch.tensor([1]), answers[1:], answers[1:] == 9, used[1:])
    assert (first.tolist(), second.tolist()) == ([True, False], [True])
    assert outlook.canvas.tolist() == [[7, 5, 0], [7, 5, 5]]
