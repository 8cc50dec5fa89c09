"""The sampler against a slow second implementation, and its promises over random models, lengths and settings."""

from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llada import SamplerConfig, denoise, generate
from llada.sampling.rules import RULES
from tests.support.reference_sampler import COMMITS, EOS, EOT, MASK, random_model, reference_answer, single_thread

one_thread = pytest.fixture(autouse=True, scope="module")(single_thread)
KNOWN = 43  # ids from here on are unused rows of the tiny model's head
MODELS = {(seed, kv): random_model(seed, kv, favourites=1.6) for seed in range(3) for kv in (1, 2)}
properties = settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))

models = st.sampled_from(list(MODELS.values()))
prompts = st.lists(st.lists(st.integers(0, 38), min_size=1, max_size=6), min_size=1, max_size=4)


@st.composite
def configs(draw: st.DrawFn, **fixed) -> SamplerConfig:
    block_length = draw(st.sampled_from([1, 3, 4]))
    blocks = draw(st.integers(1, 3))
    values = {
        "gen_length": block_length * blocks,
        "block_length": block_length,
        "steps": blocks * draw(st.integers(1, block_length + 1)),
        "rule": draw(st.sampled_from(list(RULES))),
        "remasking": draw(st.sampled_from(["low_confidence", "margin", "entropy", "random", "positional"])),
        "temperature": draw(st.sampled_from([0.0, 0.7])),
        "top_p": draw(st.sampled_from([1.0, 0.8])),
        "guidance_scale": draw(st.sampled_from([0.0, 1.0])),
        "threshold": draw(st.sampled_from([0.1, 0.4, 0.9])),
        "leap_threshold": draw(st.sampled_from([0.0, 0.2])),
        "leap_distance": draw(st.integers(0, 2)),
        "credit_weight": draw(st.sampled_from([0.7, 3.0])),
        "kl_threshold": draw(st.sampled_from([0.01, 1.0])),
        "kl_steps": draw(st.integers(1, 2)),
        "run_threshold": draw(st.sampled_from([0.1, 0.4])),
        "early_exit": draw(st.sampled_from(["none", "sched_linear", "sched_cosine", "stable"])),
        "exit_gap_first": draw(st.sampled_from([0.5, 4.0])),
        "exit_gap_last": draw(st.sampled_from([0.0, 2.0])),
        "exit_entropy": draw(st.sampled_from([0.5, 2.5])),
        "draft_steps": draw(st.integers(0, 3)),
        "draft_threshold": draw(st.sampled_from([0.1, 0.4])),
        "keep_threshold": draw(st.sampled_from([0.3, 0.9])),
        "entropy_bound": draw(st.sampled_from([0.1, 2.0])),
        "cache": draw(st.sampled_from(["none", "prefix", "dual"])),
        "cache_refresh": draw(st.integers(0, 2)),
        "stop_at_eos": draw(st.booleans()),
        "eos_policy": draw(st.sampled_from(["none", "suppress", "last"])),
    }
    return SamplerConfig(**{**values, **fixed})


def left_padded(rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(map(len, rows))
    ids = torch.tensor([[EOS] * (width - len(row)) + row for row in rows])
    return ids, torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])


def answers(model, rows, config, seed=0, **options) -> list[list[int]]:
    ids, attention = left_padded(rows)
    generator = torch.Generator().manual_seed(seed)
    return generate(model, ids, attention, config, generator, **options).tokens[:, ids.shape[1] :].tolist()


@pytest.mark.parametrize("rule", COMMITS)
@settings(properties, max_examples=12)
@given(
    models,
    prompts,
    configs(temperature=0.0, cache_refresh=0, stop_at_eos=False),
    st.sampled_from(["low_confidence", "positional"]),
    st.lists(st.sampled_from([0.0, 0.001, 0.02, 0.1]), min_size=48, max_size=48) | st.none(),
)
def test_batches_equal_the_second_implementation(rule, model, rows, config, score, frequencies):
    config = replace(config, rule=rule, remasking=score)
    table = None if frequencies is None else torch.tensor(frequencies)
    smoothed = None if frequencies is None else [max(share, 1e-9) for share in frequencies]
    expected = [reference_answer(model, row, config, smoothed)[0] for row in rows]
    assert answers(model, rows, config, frequencies=table) == expected


@properties
@given(models, prompts, configs(), st.integers(0, 99))
def test_a_row_is_what_it_would_be_alone(model, rows, config, seed):
    unique = [row for number, row in enumerate(rows) if row not in rows[:number]]
    alone = [answers(model, [row], config, seed)[0] for row in unique]
    assert answers(model, unique, config, seed) == alone
    assert answers(model, unique[::-1], config, seed) == alone[::-1]


@properties
@given(models, prompts, configs())
def test_neither_masks_nor_unused_ids_are_left(model, rows, config):
    ids, attention = left_padded(rows)
    result = generate(model, ids, attention, config)
    assert result.tokens.shape == (len(rows), ids.shape[1] + config.gen_length)
    assert torch.equal(result.tokens[:, : ids.shape[1]], ids)
    answer = result.tokens[:, ids.shape[1] :]
    assert ((answer != MASK) & (answer < KNOWN)).all()


@properties
@given(models, prompts, configs(rule="quota", stop_at_eos=False, early_exit="none", draft_steps=0))
def test_quota_takes_its_number_of_steps(model, rows, config):
    ids, attention = left_padded(rows)
    per_block = config.steps // config.blocks
    passes = generate(model, ids, attention, config).forward_passes
    assert passes == config.blocks * min(per_block, config.block_length)


@properties
@given(models, prompts, configs(stop_at_eos=False, draft_steps=0))
def test_every_step_commits_at_least_one_token_in_each_unfinished_row(model, rows, config):
    ids, attention = left_padded(rows)
    K, P = config.block_length, ids.shape[1]
    before = torch.full((len(rows), P + config.gen_length), MASK)
    before[:, :P] = ids
    for step in denoise(model, ids, attention, config):
        block = slice(P + step.block * K, P + (step.block + 1) * K)
        unfinished = (before[:, block] == MASK).any(dim=1)
        assert torch.equal(step.revealed.any(dim=1), unfinished)
        assert torch.equal(step.revealed, (before == MASK) & (step.tokens != MASK))
        assert ((step.confidence >= 0) & (step.confidence <= 1 + 1e-6)).all()
        before = step.tokens
    assert (before != MASK).all()


@properties
@given(models, prompts, configs(cache_refresh=1), st.sampled_from(["prefix", "dual"]))
def test_a_cache_refreshed_at_every_step_is_exact(model, rows, config, cache):
    assert answers(model, rows, replace(config, cache=cache)) == answers(model, rows, replace(config, cache="none"))


@properties
@given(models, prompts, configs(stop_at_eos=True, cache_refresh=0))
def test_stopping_changes_nothing_before_the_stop_token_and_pads_after_it(model, rows, config):
    stopped = answers(model, rows, config)
    for row, full in zip(stopped, answers(model, rows, replace(config, stop_at_eos=False)), strict=True):
        length = next((place + 1 for place, token in enumerate(full) if token in (EOS, EOT)), len(full))
        assert row == full[:length] + [EOS] * (len(full) - length)


@properties
@given(models, prompts, configs(), st.data())
def test_given_tokens_are_kept_and_constraints_hold(model, rows, config, data):
    places = st.integers(0, config.gen_length - 1)
    template = torch.full((len(rows), config.gen_length), MASK)
    for row in range(len(rows)):
        for place in data.draw(st.sets(places)):
            template[row, place] = data.draw(st.integers(0, 38))
    allowed = {place: data.draw(st.lists(st.integers(0, 38), min_size=1)) for place in data.draw(st.sets(places))}
    for row, result in enumerate(answers(model, rows, config, answer=template, allowed=allowed)):
        ended = False
        for place, token in enumerate(result):
            if template[row, place] != MASK:
                assert token == template[row, place]
            elif place in allowed and not ended:
                assert token in allowed[place]
            ended = ended or (config.stop_at_eos and token in (EOS, EOT))


@properties
@given(models, prompts, configs(eos_policy="suppress"))
def test_suppressed_stop_tokens_never_appear(model, rows, config):
    assert not {EOS, EOT} & {token for row in answers(model, rows, config) for token in row}


def test_equal_prompts_get_different_answers_and_row_ids_repeat_them():
    model, config = MODELS[0, 2], SamplerConfig(gen_length=12, block_length=12, steps=12, temperature=2.0)
    first, second = answers(model, [[1, 2], [1, 2]], config)
    assert first != second
    assert answers(model, [[1, 2], [9], [1, 2]], config, row_ids=[5, 6, 7]) == [
        *answers(model, [[1, 2]], config, row_ids=[5]),
        *answers(model, [[9], [1, 2]], config, row_ids=[6, 7]),
    ]


def test_the_generators_state_decides():
    model, config = MODELS[0, 2], SamplerConfig(gen_length=12, block_length=12, steps=12, temperature=2.0)
    assert answers(model, [[1, 2]], config, seed=1) == answers(model, [[1, 2]], config, seed=1)
    assert answers(model, [[1, 2]], config, seed=1) != answers(model, [[1, 2]], config, seed=2)


def test_last_gives_stop_tokens_the_score_zero():
    model = random_model(5, favourites=4.0)
    config = SamplerConfig(gen_length=8, block_length=8, steps=8, eos_policy="last")
    seen = []
    for step in denoise(model, torch.tensor([[1, 2, 3]]), None, config):
        token = step.tokens[step.revealed].item()
        assert (token in (EOS, EOT)) == (step.confidence[step.revealed].item() == 0)
        seen.append(token in (EOS, EOT))
    assert any(seen)


def test_guidance_hides_the_prompt_and_not_the_answer():
    model = MODELS[1, 2]
    prompt, given_answer = [3, 4, 5], [7, MASK]
    logits = model(torch.tensor([[*prompt, *given_answer]])).logits[0, -1]
    blind = model(torch.tensor([[MASK] * 3 + given_answer])).logits[0, -1]
    guided = blind + 3.0 * (logits - blind)
    guided[[MASK, *range(KNOWN, 48)]] = -torch.inf
    config = SamplerConfig(gen_length=2, block_length=2, steps=2, guidance_scale=2.0)
    result = answers(model, [prompt], config, answer=torch.tensor([given_answer]))
    assert result == [[7, int(guided.argmax())]]


def test_a_model_in_training_mode_returns_to_it():
    model = random_model(0).train()
    generate(model, torch.tensor([[1]]), config=SamplerConfig(gen_length=2, block_length=2, steps=2))
    assert model.training


def test_a_peft_model_samples_with_its_adapter():
    peft = pytest.importorskip("peft")
    config = SamplerConfig(gen_length=8, block_length=8, steps=8)
    model = random_model(0)
    before = answers(model, [[1, 2]], config)
    wrapped = peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
    assert answers(wrapped, [[1, 2]], config) == answers(wrapped.merge_and_unload(), [[1, 2]], config)
    assert answers(random_model(0), [[1, 2]], config) == before


def test_the_accounting_counts_up_to_the_first_stop():
    model = random_model(2, favourites=4.0)
    config = SamplerConfig(gen_length=12, block_length=4, steps=12, stop_at_eos=True)
    ids, attention = left_padded([[1, 2], [9], [4, 4, 4]])
    result = generate(model, ids, attention, config)
    lengths = [
        next((place + 1 for place, token in enumerate(row) if token in (EOS, EOT)), 12)
        for row in result.tokens[:, 3:].tolist()
    ]
    assert result.answer_lengths.tolist() == lengths
    assert result.rows_stopped_early == sum(
        any(token in (EOS, EOT) for token in row) for row in result.tokens[:, 3:].tolist()
    )
    assert result.seconds > 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"input_ids": torch.tensor([1, 2])}, "input_ids"),
        ({"input_ids": torch.tensor([[1, MASK]])}, "mask token"),
        ({"attention_mask": torch.tensor([[1, 0]])}, "on the left"),
        ({"attention_mask": torch.tensor([[1]])}, "attention_mask"),
        ({"answer": torch.tensor([[1, 2, 3]])}, "answer"),
        ({"answer": torch.full((1, 4), 99)}, "answer"),
        ({"allowed": {7: [1]}}, "position 7"),
        ({"allowed": {0: [MASK]}}, r"allowed\[0\]"),
        ({"allowed": [{}, {}]}, "2 entries"),
        ({"row_ids": [1, 2]}, "row_ids"),
    ],
)
def test_wrong_arguments_are_refused_in_words(arguments, words):
    config = SamplerConfig(gen_length=4, block_length=4, steps=4)
    with pytest.raises(ValueError, match=words):
        generate(MODELS[0, 2], **{"input_ids": torch.tensor([[1, 2]]), "config": config, **arguments})
