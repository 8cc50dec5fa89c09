"""The evaluate stage on a tiny base: what it writes, and that batching and repetition change nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from adapters.config import ModelConfig
from common.errors import InputError
from eval.config import EvaluationConfig
from eval.measure.evaluate import Measurement, evaluate, is_measured, read_test_set, traced_rows
from eval.measure.overflow import budget_configs
from llada.sampling.settings import SamplerConfig
from tests.support.evaluation import BASES, write_test_split

ROWS = 9
FILES = ("metrics.json", "items.jsonl", "trace.json")
GREEDY = SamplerConfig(gen_length=16, block_length=8, steps=8, stop_at_eos=True)
SAMPLED = SamplerConfig(gen_length=16, block_length=16, steps=8, temperature=0.8)


def settings(batch_size: int = 4, decoding_seeds: int = 1) -> EvaluationConfig:
    return EvaluationConfig(
        batch_size=batch_size,
        likelihood_samples=4,
        bootstrap_resamples=100,
        permutations=100,
        trace_items=2,
        eos_overflow=(16, 32),
        eos_overflow_items=3,
        decoding_seeds=decoding_seeds,
    )


SETTINGS = settings()


@pytest.fixture(scope="module", params=BASES)
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return BASES[request.param](tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def test_split(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_test_split(tmp_path_factory.mktemp("formatted") / "test.parquet", base, ROWS)


def run(
    base: Path,
    test_split: Path,
    output: Path,
    batch_size: int = 4,
    sampling: SamplerConfig = GREEDY,
    decoding_seeds: int = 1,
) -> Path:
    evaluate(
        Measurement(settings(batch_size, decoding_seeds), sampling, ModelConfig(), seed=7),
        system="base",
        base=base,
        adapter=None,
        test=test_split,
        output=output,
    )
    return output


@pytest.fixture(scope="module")
def written(base: Path, test_split: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(base, test_split, tmp_path_factory.mktemp("evaluation") / "base")


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_batch_size_and_repetition_change_no_byte(
    base: Path, test_split: Path, tmp_path: Path, sampling: SamplerConfig
) -> None:
    first = run(base, test_split, tmp_path / "a", 4, sampling)
    for batch_size in (4, 1, 9):
        again = run(base, test_split, tmp_path / f"b{batch_size}", batch_size, sampling)
        for name in FILES:
            assert (again / name).read_bytes() == (first / name).read_bytes(), (name, batch_size)


def test_what_was_measured_is_recognised(written: Path, test_split: Path, tmp_path: Path) -> None:
    def measured(evaluation=SETTINGS, sampling=GREEDY, test=test_split, seed=7, output=written) -> bool:
        measurement = Measurement(evaluation, sampling, ModelConfig(), seed)
        return is_measured(output, measurement, adapter=None, test=test)

    assert measured()
    assert measured(evaluation=settings(batch_size=2))  # changes no number
    assert not measured(evaluation=settings(decoding_seeds=2))
    assert not measured(sampling=SAMPLED)
    assert not measured(seed=8)
    assert not measured(output=tmp_path)
    other = tmp_path / "test.parquet"
    other.write_bytes(b"other rows")
    assert not measured(test=other)


def test_metrics_have_value_interval_and_n(written: Path) -> None:
    content = json.loads((written / "metrics.json").read_text())
    assert content["n"] == ROWS
    for key, metric in content["metrics"].items():
        assert metric["n"] == ROWS, key
        assert set(metric) >= {"value", "low", "high"}, key
    bound = content["metrics"]["bound_per_token"]
    assert bound["low"] < bound["value"] < bound["high"]
    assert bound["standard_error"] > 0
    assert set(content["floors"]) == {"other_answer", "frequent_words", "prompt"}
    assert content["ceiling"]["chrf"] > content["floors"]["other_answer"]["chrf"]


def test_keys_add_kind_and_right_to_the_items_and_nothing_else_changes(
    base: Path, test_split: Path, written: Path, tmp_path: Path
) -> None:
    items = read_test_set(test_split).items
    keys = tmp_path / "answer_keys.jsonl"
    lines = [
        {"input": items[0].prompt, "kind": "place", "required": ["Jakarta"]},
        {"input": items[1].prompt, "kind": "sentence", "required": []},
    ]
    keys.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    measurement = Measurement(SETTINGS, GREEDY, ModelConfig(), seed=7)
    evaluate(
        measurement, system="base", base=base, adapter=None, test=test_split, output=tmp_path / "a", answer_keys=keys
    )
    rows = [json.loads(line) for line in (tmp_path / "a" / "items.jsonl").read_text().splitlines()]
    assert [(row["kind"], row["right"]) for row in rows] == [("place", False), ("sentence", None)] + 7 * [(None, None)]
    content = json.loads((tmp_path / "a" / "metrics.json").read_text())
    assert content["metrics"]["accuracy"]["n"] == content["groups"]["kind"]["place"]["accuracy"]["n"] == 1
    assert content["groups"]["kind"]["sentence"]["accuracy"]["n"] == 0
    assert content["ceiling"]["accuracy"] == content["floors"]["prompt"]["accuracy"] == 1.0
    assert content["floors"]["other_answer"]["accuracy"] == 0.0
    plain = json.loads((written / "metrics.json").read_text())
    assert plain["metrics"] == {key: value for key, value in content["metrics"].items() if key != "accuracy"}
    measured = {"adapter": None, "test": test_split}
    assert is_measured(tmp_path / "a", measurement, **measured, answer_keys=keys)
    assert not is_measured(tmp_path / "a", measurement, **measured)
    assert not is_measured(written, measurement, **measured, answer_keys=keys)
    keys.write_text(keys.read_text().replace("Jakarta", "Ambon"))
    assert not is_measured(tmp_path / "a", measurement, **measured, answer_keys=keys)


def test_a_larger_budget_leaves_room_that_the_answers_may_use(written: Path) -> None:
    entries = json.loads((written / "metrics.json").read_text())["eos_overflow"]
    assert [entry["budget"] for entry in entries] == [16, 32]
    for entry in entries:
        assert entry["answer_tokens"]["n"] == entry["stopped"]["n"] == entry["empty"]["n"] == 3
        assert 0 <= entry["answer_tokens"]["value"] <= entry["budget"]
        if entry["stopped"]["value"] == 0:  # what never stops fills its budget
            assert entry["answer_tokens"]["value"] == entry["budget"]


def test_a_budget_that_blocks_do_not_fill_is_the_users_error() -> None:
    with pytest.raises(InputError, match=r"evaluation\.eos_overflow: 20; must be a multiple of sampling\.block_length"):
        budget_configs(EvaluationConfig(eos_overflow=(16, 20)), GREEDY)
    configs = budget_configs(EvaluationConfig(eos_overflow=(64, 16)), GREEDY)
    assert [(one.gen_length, one.steps) for one in configs] == [(16, 8), (64, 32)]


def test_decodings_are_pooled_per_item_and_the_first_is_shown(base: Path, test_split: Path, tmp_path: Path) -> None:
    runs = []
    for seeds in (1, 3):
        folder = run(base, test_split, tmp_path / str(seeds), sampling=SAMPLED, decoding_seeds=seeds)
        metrics = json.loads((folder / "metrics.json").read_text())["metrics"]
        runs.append((metrics, [json.loads(line) for line in (folder / "items.jsonl").read_text().splitlines()]))
    (one, one_items), (three, three_items) = runs
    assert one["bound_per_token"] == three["bound_per_token"], "the bound decodes nothing"
    for single, pooled in zip(one_items, three_items, strict=True):
        assert single["answer"] == pooled["answer"]
        assert single["scores"] == pooled["scores"]
        assert pooled["statistics"]["rouge1"][1] == 3
        assert pooled["statistics"]["truncated"][0] <= 3
    total = np.sum([item["statistics"]["length_ratio"] for item in three_items], axis=0)
    assert three["length_ratio"]["value"] == pytest.approx(total[0] / total[1], abs=1e-6)
    assert three["length_ratio"] != one["length_ratio"]


def test_groups_have_the_bound_per_token_and_per_byte(written: Path) -> None:
    content = json.loads((written / "metrics.json").read_text())
    for groups in content["groups"].values():
        for group in groups.values():
            assert set(group) == {"bound_per_token", "bits_per_byte", "chrf"}
            assert group["bits_per_byte"]["low"] is None or group["bits_per_byte"]["low"] > 0


def test_no_timing_lies_in_the_metrics(written: Path) -> None:
    assert "seconds" not in (written / "metrics.json").read_text()
    accounting = json.loads((written / "accounting.json").read_text())
    assert accounting["forward_passes"] > 0
    assert accounting["peak_memory_bytes"] > 0


def test_items_keep_the_order_and_texts_of_the_split(written: Path, test_split: Path) -> None:
    rows = [json.loads(line) for line in (written / "items.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == [item.id for item in read_test_set(test_split).items]
    assert all(row["reference"] and row["prompt"] for row in rows)


def test_trace_ends_in_the_answer_of_the_item(written: Path) -> None:
    """Replaying the commits gives the very text in items.jsonl."""
    answers = {row["id"]: row for row in map(json.loads, (written / "items.jsonl").read_text().splitlines())}
    traces = json.loads((written / "trace.json").read_text())["items"]
    assert len(traces) == 2
    for trace in traces:
        pieces: dict[int, str] = {}
        for step in trace["steps"]:
            for place in step["take_back"]:
                del pieces[place]
            pieces |= {place: piece for place, piece, _ in step["commit"]}
        answer = answers[trace["id"]]
        text = "".join(pieces[place] for place in range(answer["generated_tokens"]))
        if "�" not in text:  # a piece of a split UTF-8 character cannot be shown alone
            assert text.strip() == answer["answer"]


def test_traced_items_mix_the_subsets(test_split: Path) -> None:
    items = read_test_set(test_split).items
    assert len({items[row].subset_name for row in traced_rows(items, 3)}) == 3
    assert traced_rows(items, 50) == list(range(ROWS))


def test_missing_split_and_missing_columns_are_the_users_error(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pytest.raises(InputError, match="no such file"):
        read_test_set(tmp_path / "test.parquet")
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "test.parquet")
    with pytest.raises(InputError, match="prompt_length"):
        read_test_set(tmp_path / "test.parquet")
    (tmp_path / "test.parquet").write_bytes(b"junk")
    with pytest.raises(InputError, match="not a parquet file"):
        read_test_set(tmp_path / "test.parquet")


def shortened(split: Path, path: Path, answer_tokens: int) -> Path:
    """The split with every answer cut to so many tokens, as the stage `format` cuts it: without its stop token."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = pq.read_table(split).to_pylist()
    for row in rows:
        row["input_ids"] = row["input_ids"][: row["prompt_length"] + answer_tokens]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_bits_per_byte_counts_the_bytes_of_the_tokens_it_scores(base: Path, test_split: Path, tmp_path: Path) -> None:
    from llada.chat_format import load_tokenizer

    decode = load_tokenizer(base).decode
    values = {}
    for tokens in (512, 5):
        split = shortened(test_split, tmp_path / str(tokens) / "test.parquet", tokens)
        folder = run(base, split, tmp_path / str(tokens) / "evaluation")
        content = json.loads((folder / "metrics.json").read_text())
        rows = [json.loads(line) for line in (folder / "items.jsonl").read_text().splitlines()]
        nats = sum(row["bound_nats"] for row in rows)
        scored = read_test_set(split).answers
        texts = [decode(ids, skip_special_tokens=True) for ids in scored]
        by_hand = nats / np.log(2) / sum(len(text.encode()) for text in texts)
        values[tokens] = content["metrics"]["bits_per_byte"]["value"]
        assert values[tokens] == pytest.approx(by_hand, abs=1e-5)
        groups = content["groups"]["answer_tokens"].values()
        assert sum(group["bits_per_byte"]["n"] for group in groups) == ROWS
        for row, text in zip(rows, texts, strict=True):
            assert row["statistics"]["bits_per_byte"][1] == len(text.encode())
    assert values[512] / 1.5 < values[5] < 1.5 * values[512]


def test_one_likelihood_sample_has_no_sampling_error(base: Path, test_split: Path, tmp_path: Path) -> None:
    measurement = Measurement(settings().model_copy(update={"likelihood_samples": 1}), GREEDY, ModelConfig(), seed=7)
    evaluate(measurement, system="base", base=base, adapter=None, test=test_split, output=tmp_path / "base")
    assert (
        json.loads((tmp_path / "base" / "metrics.json").read_text())["metrics"]["bound_per_token"]["sampling_error"]
        is None
    )
    first = json.loads((tmp_path / "base" / "items.jsonl").read_text().split("\n")[0])
    assert first["bound_sampling_error"] is None
    assert first["bound_nats"] > 0


def test_weights_that_are_not_numbers_are_the_users_error_before_anything_is_generated(
    base: Path, test_split: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    from eval.measure import generation

    broken = shutil.copytree(base, tmp_path / "broken")
    weights = load_file(broken / "model.safetensors")
    next(tensor for tensor in weights.values() if tensor.dim() == 1)[3] = float("nan")
    save_file(weights, broken / "model.safetensors", {"format": "pt"})
    monkeypatch.setattr(generation, "generate_answers", lambda *_, **__: pytest.fail("generated all the same"))
    with pytest.raises(InputError, match=r"not a finite number in torch\.float32") as caught:
        run(broken, test_split, tmp_path / "evaluation")
    assert len(caught.value.faults) == 1
    assert not (tmp_path / "evaluation").exists()


@pytest.mark.parametrize(
    ("sampling", "words"),
    [
        (SamplerConfig(gen_length=16, block_length=8, steps=8, stop_token_ids=(99_999,)), "stop_token_ids holds"),
        (SamplerConfig(gen_length=4096, block_length=8, steps=512), "leaves .* of the model's 512"),
    ],
)
def test_settings_that_do_not_fit_the_model_are_refused_before_anything_runs(
    base: Path, test_split: Path, tmp_path: Path, sampling: SamplerConfig, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        run(base, test_split, tmp_path / "evaluation", sampling=sampling)


def test_a_sampler_option_that_is_off_is_not_among_the_settings_of_a_measurement() -> None:
    """So that what was measured before there was the option is still recognised."""
    penalised = SamplerConfig(repetition_penalty=1.2)
    written = [Measurement(SETTINGS, one, ModelConfig(), 7).settings["sampling"] for one in (GREEDY, penalised)]
    assert "repetition_penalty" not in written[0]
    assert written[1]["repetition_penalty"] == 1.2
