"""A task from file to result: resumable per item, its rows in lm-evaluation-harness' form, the command."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from common.errors import InputError
from common.files import read_json, read_json_lines
from eval.config import TaskConfig
from eval.measure.evaluate import load_system
from eval.suites import run as running
from eval.suites.asking import Asking
from eval.suites.run import run_task, spoken
from eval.suites.samples import harness_samples
from eval.suites.task import read_task
from llada.chat_format import encode_prompt
from tests.support.chain import write_inputs
from tests.support.command_line import run_here
from tests.support.evaluation import BASES
from tests.support.imports import LONG
from tests.unit.eval.suites.test_formats import COPA, MMLU, write_csv, write_lines


@pytest.fixture(scope="module", params=BASES)
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return BASES[request.param](tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def system(base: Path) -> tuple[Any, Any]:
    from adapters.config import ModelConfig

    return load_system(ModelConfig(), base, None)


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    rows = [COPA | {"idx": number, "premise": f"Lantai {number} basah.", "label": number % 2} for number in range(40)]
    return write_lines(tmp_path / "copal.jsonl", [*rows, COPA | {"label": 9}])


def config(path: Path, **more: Any) -> TaskConfig:
    return TaskConfig.model_validate({"name": "COPAL", "file": str(path), "kind": "copal", **more})


def test_a_stopped_task_goes_on_where_it_stood(
    system, suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    task = read_task(config(suite))
    whole = run_task(*system, task, samples=2, seed=3)
    assert "COPAL: 40 questions (COPAL-ID), 1 damaged rows left out (first: row 41: the answer is option 10 of 2)" in (
        " ".join(capsys.readouterr().err.split())
    )
    journal, scored = tmp_path / "journal", []
    score = running.Scorer.score

    def stopping(self: Any, questions: Any, numbers: Any) -> Any:
        if len(scored) >= 18:
            raise KeyboardInterrupt
        scored.extend(numbers)
        return score(self, questions, numbers)

    monkeypatch.setattr(running.Scorer, "score", stopping)
    with pytest.raises(KeyboardInterrupt):
        run_task(*system, task, samples=2, seed=3, journal=journal)
    [path] = journal.glob("*.jsonl")
    assert len(read_json_lines(path)) == len(scored) == 18
    path.write_text(path.read_text()[:-20])  # as a power cut leaves it
    again: list[int] = []
    monkeypatch.setattr(running.Scorer, "score", lambda self, q, n: again.extend(n) or score(self, q, n))
    resumed = run_task(*system, task, samples=2, seed=3, journal=journal)
    assert len(again) == 40 - 17
    assert not set(scored[:-1]) & set(again)
    assert resumed.result["items"] == whole.result["items"]
    for one, other in zip(resumed.scored, whole.scored, strict=True):
        assert one.scores["likelihood"] == pytest.approx(other.scores["likelihood"], abs=1e-4)
    assert not list(journal.glob("*.jsonl"))
    assert "17 questions were scored by an earlier run" in capsys.readouterr().err


def test_other_settings_do_not_go_on_with_what_was_scored(system, suite: Path, tmp_path: Path) -> None:
    names = set()
    for more, about in (({}, None), ({"shots": 1, "shots_file": str(suite)}, None), ({}, "another adapter")):
        journal = tmp_path / f"{len(names)}"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(running._Journal, "remove", lambda self: names.add(self._path.name))
            run_task(
                *system, read_task(config(suite, limit=2, **more)), samples=1, seed=0, journal=journal, about=about
            )
    assert len(names) == 3


def test_a_longer_limit_keeps_what_was_scored(system, suite: Path, tmp_path: Path) -> None:
    short, long = (read_task(config(suite, limit=limit, scorings=("letter",))) for limit in (4, 6))
    journal = tmp_path / "journal"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running._Journal, "remove", lambda self: None)
        run_task(*system, short, samples=1, seed=0, journal=journal)
    [path] = journal.iterdir()
    assert len(read_json_lines(path)) == 4
    seen: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        score = running.Scorer.score
        patch.setattr(running.Scorer, "score", lambda self, q, n: seen.extend(n) or score(self, q, n))
        run_task(*system, long, samples=1, seed=0, journal=journal)
    assert sorted(seen) == [4, 5]


def test_examples_are_the_suites_own_or_of_another_file(suite: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"3 examples are wanted and copal\.jsonl has 0 few-shot rows"):
        read_task(config(suite, shots=3))
    assert len(read_task(config(suite, shots=3, shots_file=str(suite))).pool) == 40
    rows = [MMLU, *(MMLU | {"is_for_fewshot": 1, "soal": f"Contoh {number}"} for number in range(3))]
    path = write_csv(tmp_path / "mmlu.csv", rows)
    assert len(read_task(TaskConfig(name="m", kind="indommlu", file=str(path), shots=3)).pool) == 3


def test_the_profile_takes_a_task_by_its_former_kind() -> None:
    assert TaskConfig.model_validate({"name": "m", "kind": "mmlu", "file": "x"}).kind == "global_mmlu"
    with pytest.raises(ValueError, match="shots"):
        TaskConfig.model_validate({"name": "m", "kind": "copal", "file": "x", "shots": 6})


def test_times_are_said_as_people_say_them() -> None:
    assert [spoken(seconds) for seconds in (4.4, 200, 7200)] == ["4 s", "3 min", "2.0 h"]


def test_samples_have_the_form_that_lm_eval_logs(system, suite: Path, tmp_path: Path) -> None:
    task = read_task(config(suite, limit=3))
    outcome = run_task(*system, task, samples=1, seed=0)
    ours = json.loads(json.dumps(harness_samples(task, outcome, "letter")))
    assert ours[1]["arguments"]["gen_args_1"]["arg_1"] == " B"
    assert ours[1]["target"] == "1"
    assert float(ours[1]["filtered_resps"][0][0]) == outcome.scored[1].scores["letter"][0]
    assert ours[1]["acc"] == outcome.result["items"]["right"]["letter"][1]
    if not LONG or find_spec("lm_eval") is None:
        pytest.skip("the comparison with what lm_eval writes needs LONG_TESTS and the extra lm-eval")
    assert {key: type(value) for key, value in ours[0].items()} == {
        key: type(value) for key, value in logged_by_lm_eval(suite, tmp_path)[0].items()
    } | {"target": str}


@pytest.mark.parametrize("scoring", ["letter", "revealing"])
def test_samples_hold_the_prompt_that_was_asked(system, suite: Path, scoring: str) -> None:
    task = read_task(config(suite, limit=2, shots=2, shots_file=str(suite), scorings=(scoring,)))
    [_, second] = harness_samples(task, run_task(*system, task, samples=1, seed=0), scoring)
    asking = Asking(system[1], task.pool, 2, 512)
    question = task.questions[1]
    asked = asking.listed_prompt(question) if scoring == "letter" else asking.open_prompt(question)
    assert (
        encode_prompt(system[1], [{"role": "user", "content": second["arguments"]["gen_args_0"]["arg_0"]}]) == asked.ids
    )


def logged_by_lm_eval(suite: Path, folder: Path) -> list[dict[str, Any]]:
    """What lm_eval writes for a multiple-choice task of its own on the same file, with its dummy model."""
    import lm_eval
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.loggers import EvaluationTracker

    task = ConfigurableTask(
        config={
            "task": "copal",
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": str(suite)}, "cache_dir": str(folder)},
            "test_split": "test",
            "output_type": "multiple_choice",
            "doc_to_text": "{{premise}}",
            "doc_to_choice": ["A", "B"],
            "doc_to_target": "label",
            "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
        }
    )
    found: Any = lm_eval.simple_evaluate(model="dummy", tasks=[task], limit=1, bootstrap_iters=0, log_samples=True)
    tracker = EvaluationTracker(output_path=str(folder / "out"))
    tracker.general_config_tracker.model_name_sanitized = "dummy"
    tracker.date_id = "now"
    tracker.save_results_samples("copal", found["samples"]["copal"])
    [path] = (folder / "out").rglob("samples_copal_*.jsonl")
    return read_json_lines(path)


def test_the_command_writes_result_and_samples(base: Path, suite: Path, tmp_path: Path) -> None:
    root = tmp_path / "artifacts"
    inputs = {
        "dataset": {"files": []},
        "encoder": {"path": str(base)},
        "base": {"path": str(base), "sha256": "0"},
    }
    write_inputs(root, inputs)
    options = (
        "--suite",
        "copal",
        "--file",
        str(suite),
        "--artifacts",
        str(root),
        "--set",
        "evaluation.likelihood_samples=1",
    )
    run = run_here("-m", "pipeline", "tasks", "--method", "base", *options, "--limit", "5", "--name", "COPAL/ID")
    assert run.returncode == 0, run.stderr
    assert "chance 50.0%, n = 5" in run.stdout
    folder = root / "tasks" / "base" / "COPAL_ID"
    result = read_json(folder / "result.json")
    assert (result["name"], result["system"], result["n"], result["damaged"]) == ("COPAL/ID", "base", 5, 1)
    assert sorted(path.name for path in folder.glob("samples_*")) == [
        "samples_letter.jsonl",
        "samples_likelihood.jsonl",
        "samples_revealing.jsonl",
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--suite", "copal"), "--suite and --file go together"),
        (("--suite", "mmmu", "--file", "x"), "--suite mmmu"),
        (("--suite", "copal", "--file", "x", "--shots", "9"), "--shots 9"),
        (("--suite", "copal", "--file", "x", "--scoring", "guess"), "guess"),
        (("--suite", "copal", "--file", "absent.csv"), "absent.csv: no such file"),
        ((), "name a suite and its file"),
    ],
)
def test_what_the_command_cannot_do_is_said_in_a_line(options: tuple[str, ...], words: str, tmp_path: Path) -> None:
    run = run_here("-m", "pipeline", "tasks", "--method", "base", *options, "--artifacts", str(tmp_path / "none"))
    assert run.returncode == 2
    assert words in run.stderr
    assert "Traceback" not in run.stderr
