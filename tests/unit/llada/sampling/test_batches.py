"""Batching a test set: nothing is lost, the budget holds, and the answers do not depend on it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from llada import SamplerConfig
from llada.sampling.batches import batches_by_length, generate_many, left_pad
from tests.support.reference_sampler import EOS, random_model, single_thread

one_thread = pytest.fixture(autouse=True, scope="module")(single_thread)
PROMPTS = [[1, 2, 3], [4], [5, 6], [1, 2, 3], [7, 8, 9, 10, 11], [4]]


@settings(derandomize=True, deadline=None)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.integers(1, 300))
def test_every_item_is_in_one_batch_and_the_budget_holds(lengths, budget):
    batches = batches_by_length(lengths, 16, budget)
    assert sorted(item for batch in batches for item in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * (max(lengths[item] for item in batch) + 16) <= budget


def test_padding_is_on_the_left():
    ids, mask = left_pad([[1, 2], [3]], pad_id=9)
    assert ids.tolist() == [[1, 2], [9, 3]]
    assert mask.tolist() == [[1, 1], [0, 1]]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_answers_do_not_depend_on_the_budget(temperature):
    model = random_model(0, favourites=2.0)
    config = SamplerConfig(gen_length=8, block_length=4, steps=8, temperature=temperature, stop_at_eos=True)

    def answers(budget, prompts=PROMPTS, item_ids=None):
        by_item = {}
        for batch in generate_many(model, prompts, config, seed=3, token_budget=budget, item_ids=item_ids):
            by_item.update(zip(batch.items, batch.answers, strict=True))
        return [by_item[item] for item in range(len(prompts))]

    together = answers(10_000)
    assert together == answers(1) == answers(40)
    assert answers(40, PROMPTS[3:], item_ids=[3, 4, 5]) == together[3:]
    assert all(EOS not in answer[:-1] for answer in together)


def test_an_empty_prompt_is_refused():
    with pytest.raises(ValueError, match=r"prompts \[1\] are empty"):
        next(generate_many(random_model(0), [[1], []]))


def test_a_batch_reports_its_cost():
    (batch,) = generate_many(random_model(0), PROMPTS, SamplerConfig(gen_length=4, block_length=4, steps=4))
    assert batch.forward_passes == 4
    assert batch.seconds > 0
    assert torch.cuda.is_available() or batch.peak_memory is None
