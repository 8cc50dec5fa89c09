"""The model class for lm-evaluation-harness on a tiny base: likelihoods, generation, a task of its own end to end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from common.errors import InputError
from tests.support.evaluation import write_tiny_base

lm_eval = pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not installed (extra lm-eval)")


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from eval.harness import LLaDAHarness

    base = write_tiny_base(tmp_path_factory.mktemp("base"))
    return LLaDAHarness(str(base), samples=4, max_gen_toks=16, block_length=8)


def requests(kind: Any, *arguments: tuple[Any, ...]) -> list[Any]:
    from lm_eval.api.instance import Instance

    return [Instance(kind, {}, pair, index) for index, pair in enumerate(arguments)]


def test_the_class_is_registered_as_llada(harness: Any) -> None:
    from lm_eval.api.registry import get_model

    assert get_model("llada") is type(harness)


def test_likelihoods_are_the_bound_of_the_models_own_function(harness: Any) -> None:
    from llada.diffusion.likelihood import log_likelihoods

    pairs = [("Kota Ambon ramai.", " Ya"), ("Kota Medan besar.", " Tidak benar"), ("Apa?", "")]
    found = harness.loglikelihood(requests("loglikelihood", *pairs))
    tokenizer = harness.tokenizer
    ids = [[tokenizer(text, add_special_tokens=False)["input_ids"] for text in pair] for pair in pairs[:2]]
    prompts = [[tokenizer.bos_token_id, *context] for context, _ in ids]
    expected = log_likelihoods(harness.network, prompts, [answer for _, answer in ids], 4, seed=0)
    assert [value for value, _ in found] == pytest.approx([one.estimate for one in expected] + [0.0])
    assert not any(greedy for _, greedy in found)


def test_blanks_at_the_border_belong_to_the_continuation(harness: Any) -> None:
    """ "Apa " + "ini" is the text "Apa" + " ini"."""
    assert harness._pair("Apa ", "ini") == harness._pair("Apa", " ini")


def test_rolling_likelihood_is_the_whole_text(harness: Any) -> None:
    [rolling] = harness.loglikelihood_rolling(requests("loglikelihood_rolling", ("Kota Ambon.",)))
    [(value, _)] = harness.loglikelihood(requests("loglikelihood", ("", "Kota Ambon.")))
    assert rolling == pytest.approx(value)
    assert rolling < 0


def test_generation_stops_at_the_tasks_strings_and_keeps_the_order(harness: Any) -> None:
    from eval.harness import cut_before

    prompts = ["Apa ibu kota?", "Tulis sesuatu tentang kota yang ramai.", "Siapa?"]
    free = harness.generate_until(requests("generate_until", *((text, {"until": []}) for text in prompts)))
    assert harness.generate_until(requests("generate_until", (prompts[1], {"until": []}))) == [free[1]]
    stop = next(letter for letter in free[0] if not letter.isspace())
    [cut] = harness.generate_until(requests("generate_until", (prompts[0], {"until": [stop], "max_gen_toks": 16})))
    assert cut == free[0].split(stop)[0]
    assert cut_before("satu\n\ndua. tiga", [".", "\n\n"]) == "satu"
    assert cut_before("satu", None) == "satu"


def test_an_adapter_that_was_trained_on_another_base_is_refused(harness: Any, tmp_path: Path) -> None:
    base = write_tiny_base(tmp_path / "base")
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "run.json").write_text(json.dumps({"base": {"name": "A/B", "sha256": "a" * 64}}))
    with pytest.raises(InputError, match=r"adapter: trained on the base A/B \(aaaaaaaaaaaa\), but .*base is another"):
        type(harness)(str(base), adapter=str(tmp_path / "adapter"))


def test_a_fault_of_the_users_is_one_line_and_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from eval.harness import main

    def fail() -> None:
        raise InputError("a: wrong")

    monkeypatch.setattr("lm_eval.__main__.cli_evaluate", fail)
    with pytest.raises(SystemExit) as caught:
        main()
    assert (caught.value.code, capsys.readouterr().err) == (2, "error: a: wrong\n")


def test_a_task_on_a_local_file_runs(harness: Any, tmp_path: Path) -> None:
    questions, choices = ["Kota apa yang ramai?", "Siapa namamu?", "Apa kabar?"], ["Ambon", "Batu"]
    rows = [{"q": question, "choices": choices, "label": index % 2} for index, question in enumerate(questions)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    task = {
        "task": "local_choice",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(tmp_path / "rows.jsonl")}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{q}}",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "{{label}}",
        "metric_list": [{"metric": "acc"}],
    }
    found = lm_eval.simple_evaluate(model=harness, tasks=[task], bootstrap_iters=0)
    pairs = [(question, f" {choice}") for question in questions for choice in choices]
    values = [value for value, _ in harness.loglikelihood(requests("loglikelihood", *pairs))]
    chosen = [int(values[start + 1] > values[start]) for start in range(0, len(values), 2)]
    right = sum(choice == row["label"] for choice, row in zip(chosen, rows, strict=True))
    assert found["results"]["local_choice"]["acc,none"] == pytest.approx(right / 3)
