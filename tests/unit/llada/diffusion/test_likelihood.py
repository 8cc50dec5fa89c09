"""The likelihood bound against the enumeration of all masks, its standard error, and its independence of batching."""

import math
from itertools import combinations

import numpy as np
import pytest
import torch

from llada.diffusion.likelihood import bound_masks, log_likelihood, log_likelihoods
from tests.support.llama_twin import MASK, tiny_model, tokens

PROMPT, ANSWER = tokens(1, 6, seed=1)[0], tokens(1, 5, seed=2)[0]


@pytest.fixture(scope="module")
def model():
    return tiny_model()


def exact_bound(model, prompt, answer):
    """The mean over l of the mean over subsets of size l of -(A / l) sum CE, subset by subset."""
    A, means = len(answer), []
    for count in range(1, A + 1):
        values = []
        for subset in combinations(range(A), count):
            noisy = answer.clone()
            noisy[list(subset)] = MASK
            with torch.no_grad():
                logits = model(torch.cat((prompt, noisy))[None]).logits[0, len(prompt) :]
            log_p = torch.log_softmax(logits.double(), dim=1)[range(A), answer]
            values.append(A / count * log_p[list(subset)].sum().item())
        means.append(np.mean(values))
    return float(np.mean(means))


def estimates(model, samples, repetitions):
    bounds = log_likelihoods(model, [PROMPT] * repetitions, [ANSWER] * repetitions, samples, seed=0)
    return np.array(bounds)


@pytest.mark.parametrize("samples", [3, 8, 20])
def test_bound_is_unbiased_and_its_error_honest(model, samples):
    exact = exact_bound(model, PROMPT, ANSWER)
    repetitions = 200
    values, errors = estimates(model, samples, repetitions).T
    spread = values.std(ddof=1)
    assert abs(values.mean() - exact) < 3 * spread / math.sqrt(repetitions)
    claimed = math.sqrt((errors**2).mean())
    assert 0.85 * spread < claimed < 1.6 * spread  # collapsed strata: from above where strata differ


def test_stratified_counts_beat_independent_ones(model):
    """One sample a time is not stratified: the mean of S of them has the spread of S independent counts."""
    S, repetitions = 10, 100
    stratified = estimates(model, S, repetitions)[:, 0]
    single = estimates(model, 1, S * repetitions)[:, 0].reshape(repetitions, S).mean(axis=1)
    assert stratified.std() < 1.1 * single.std()


@pytest.mark.parametrize(("length", "samples"), [(5, 20), (7, 7), (3, 10), (1, 4)])
def test_every_count_occurs_equally_often_as_far_as_samples_allow(length, samples):
    counts = np.bincount([int(mask.sum()) for mask in bound_masks(0, 0, length, samples)], minlength=length + 1)[1:]
    assert counts.sum() == samples
    assert all(abs(count - samples / length) < 2 for count in counts)
    if samples % length == 0:
        assert set(counts) == {samples // length}


def test_masks_of_a_count_are_uniform():
    shown = np.zeros(4)
    for item in range(2000):
        for mask in bound_masks(1, item, 4, 4):
            if mask.sum() == 1:
                shown += mask.numpy()
    assert shown.sum() == 2000
    assert ((shown - 500) ** 2 / 500).sum() < 16.3  # chi-square with 3 degrees of freedom at 0.1%


def test_batching_changes_nothing(model):
    prompts = [tokens(1, length, seed=length)[0] for length in (3, 9, 1, 5)]
    answers = [tokens(1, length, seed=10 + length)[0] for length in (4, 2, 8, 6)]
    together = np.array(log_likelihoods(model, prompts, answers, 6, seed=3))
    small = np.array(log_likelihoods(model, prompts, answers, 6, seed=3, max_tokens=1))
    alone = np.array(
        [log_likelihoods(model, prompts[i : i + 1], answers[i : i + 1], 6, seed=3, items=[i])[0] for i in range(4)]
    )
    np.testing.assert_allclose(small, together, atol=1e-4)
    np.testing.assert_allclose(alone, together, atol=1e-4)


def test_generator_decides_and_the_same_one_repeats(model):
    def once(seed):
        return log_likelihood(model, PROMPT, ANSWER, samples=6, generator=torch.Generator().manual_seed(seed))

    assert once(0) == once(0)
    assert once(0) != once(1)


def test_lists_and_tensors_of_any_shape_are_taken(model):
    generator = torch.Generator()
    one = log_likelihood(model, PROMPT[None], ANSWER[None], 4, generator.manual_seed(0))
    other = log_likelihood(model, PROMPT.tolist(), ANSWER.tolist(), 4, generator.manual_seed(0))
    assert one == other


def test_empty_prompt_is_fine_and_empty_answer_is_not(model):
    assert math.isfinite(log_likelihood(model, [], ANSWER, 4).estimate)
    with pytest.raises(ValueError, match="item 0 is empty"):
        log_likelihood(model, PROMPT, [], 4)


def test_one_sample_has_no_error_and_none_is_refused(model):
    assert math.isnan(log_likelihood(model, PROMPT, ANSWER, 1).standard_error)
    with pytest.raises(ValueError, match="samples: 0"):
        log_likelihood(model, PROMPT, ANSWER, 0)


def test_answer_of_one_token_is_exact(model):
    bound = log_likelihood(model, PROMPT, ANSWER[:1], 4)
    assert bound.estimate == pytest.approx(exact_bound(model, PROMPT, ANSWER[:1]), abs=1e-4)
    assert bound.standard_error == pytest.approx(0, abs=1e-5)


def test_model_is_left_as_it_was(model):
    log_likelihood(model, PROMPT, ANSWER, 2)
    assert torch.is_grad_enabled()
    assert not model.training
