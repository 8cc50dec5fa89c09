"""Bounds, noise levels and multiple choice, on a tiny model and by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from common.errors import InputError
from eval.config import TaskConfig
from eval.measure.english import ENGLISH_SAMPLE
from eval.measure.evaluate import load_system, read_test_set
from eval.measure.likelihood import MASK_SHARES, bounds, fit_by_mask_share
from eval.measure.retention import english_bound, task_scores
from eval.measure.tasks import Question, read_task, score_choices
from tests.support.evaluation import write_test_split, write_tiny_base

ROWS = 7


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def system(base: Path) -> tuple[Any, Any]:
    from adapters.config import ModelConfig

    return load_system(ModelConfig(), base, None)


@pytest.fixture(scope="module")
def rows(base: Path, tmp_path_factory: pytest.TempPathFactory):
    return read_test_set(write_test_split(tmp_path_factory.mktemp("formatted") / "test.parquet", base, ROWS))


def test_bounds_keep_the_order_and_do_not_depend_on_the_others(system, rows) -> None:
    together = bounds(system[0], rows.prompts, rows.answers, samples=4, seed=3)
    first = bounds(system[0], rows.prompts[:1], rows.answers[:1], samples=4, seed=3)
    assert together[0].estimate == pytest.approx(first[0].estimate, rel=1e-5)
    assert len(together) == ROWS
    assert all(estimate.estimate < 0 for estimate in together)


def test_bound_of_one_token_is_its_exact_log_probability(system) -> None:
    """An answer of one token can only be masked whole, so the bound is the log-probability of that token."""
    model, tokenizer = system
    prompt, answer = tokenizer.encode("Halo"), [7]
    ids = torch.tensor([[*prompt, model.config.mask_token_id]])
    expected = model(ids).logits[0, -1].log_softmax(dim=-1)[7].item()
    found = bounds(model, [prompt], [answer], samples=4, seed=0)[0]
    assert found.estimate == pytest.approx(expected, abs=1e-5)


def test_fit_by_mask_share_matches_a_loop_over_single_rows(system, rows) -> None:
    model = system[0]
    levels = fit_by_mask_share(model, rows.prompts, rows.answers, seed=5)
    for level, share in zip(levels, MASK_SHARES, strict=True):
        nats, hits, count = 0.0, 0, 0
        for row, (prompt, answer) in enumerate(zip(rows.prompts, rows.answers, strict=True)):
            order = np.random.default_rng((5, row, 3)).permutation(len(answer))
            masked = order[: max(1, round(share * len(answer)))]
            noisy = torch.tensor([*prompt, *answer])
            places = len(prompt) + torch.from_numpy(masked)
            targets = noisy[places].clone()
            noisy[places] = model.config.mask_token_id
            with torch.no_grad():
                logits = model(noisy[None]).logits[0, places].log_softmax(dim=-1)
            nats -= logits.gather(1, targets[:, None]).sum().item()
            hits += int((logits.argmax(dim=-1) == targets).sum())
            count += len(masked)
        assert level["tokens"] == count
        assert level["nats"] == pytest.approx(nats / count, rel=1e-4)
        assert level["accuracy"] == pytest.approx(hits / count)


def test_english_sample_is_scored_whole(system) -> None:
    found = english_bound(*system, samples=2, resamples=100, seed=1)
    assert found["bound_per_token"]["n"] == len(ENGLISH_SAMPLE)
    assert found["bound_per_token"]["low"] < found["bound_per_token"]["value"] < found["bound_per_token"]["high"]
    assert len(found["statistics"]["bound_per_token"]) == len(ENGLISH_SAMPLE)


def test_choices_are_counted_by_hand() -> None:
    questions = [Question("a", ("ya", "tidak sama sekali"), 1), Question("b", ("ya", "tidak"), 0)]
    found = score_choices(questions, [-4.0, -6.0, -1.0, -2.0])
    assert found["accuracy"]["value"] == 0.5  # the longer right choice loses without normalisation
    assert found["accuracy_normalised"]["value"] == 0.5  # per byte: -2.0 < -0.35 right; -0.5 < -0.4 wrong
    assert found["chance"] == 0.5
    with pytest.raises(ValueError, match="3 bounds for 4 choices"):
        score_choices(questions, [0.0, 0.0, 0.0])


def test_tasks_run_on_a_model(system) -> None:
    questions = [Question("Apa warna langit?", ("Biru.", "Batu."), 0)] * 3
    found = task_scores(*system, {"tiny": questions}, samples=2, seed=0)
    assert found["tiny"]["n"] == 3
    assert found["tiny"]["accuracy"]["value"] in (0.0, 1 / 3, 2 / 3, 1.0)


XCOPA = {
    "premise": "Lantai basah.",
    "choice1": "Hujan turun.",
    "choice2": "Angin kering.",
    "question": "cause",
    "label": 0,
}
MMLU = {"question": "2 + 2?", "option_a": "3", "option_b": "4", "option_c": "5", "option_d": "6"}
CLOZE = {f"Kalimat-{n}": f"Kalimat {n}." for n in range(1, 5)} | {
    "Correct Ending": "Benar.",
    "Incorrect Ending": "Salah.",
}


@pytest.mark.parametrize(
    ("kind", "rows", "expected"),
    [
        ("xcopa", [XCOPA], Question("Lantai basah. Apa penyebabnya?", ("Hujan turun.", "Angin kering."), 0)),
        ("mmlu", [MMLU | {"answer": "B"}], Question("2 + 2?", ("3", "4", "5", "6"), 1)),
        ("mmlu", [{"prompts": [MMLU], "label": "B"}], Question("2 + 2?", ("3", "4", "5", "6"), 1)),
        (
            "indocloze",
            [CLOZE],
            Question(
                "Lanjutkan cerita ini dengan satu kalimat.\nKalimat 1. Kalimat 2. Kalimat 3. Kalimat 4.",
                ("Benar.", "Salah."),
                0,
            ),
        ),
        (
            "nusax",
            [{"id": 1, "text": "Enak sekali.", "label": "positive"}],
            Question(
                "Apa sentimen kalimat ini: positif, netral, atau negatif?\nEnak sekali.",
                ("positif", "netral", "negatif"),
                0,
            ),
        ),
    ],
)
def test_task_files_are_read(tmp_path: Path, kind: Any, rows: list[dict[str, Any]], expected: Question) -> None:
    path = tmp_path / "task.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    assert read_task(TaskConfig(name="t", file=str(path), kind=kind)) == [expected]


def test_csv_tasks_are_read(tmp_path: Path) -> None:
    path = tmp_path / "task.csv"
    path.write_text("id,text,label\n1,Buruk.,negative\n")
    assert read_task(TaskConfig(name="t", file=str(path), kind="nusax"))[0].answer == 2


def test_wrong_task_files_are_the_users_error(tmp_path: Path) -> None:
    path = tmp_path / "task.jsonl"
    with pytest.raises(InputError, match="no such file"):
        read_task(TaskConfig(name="t", file=str(path), kind="xcopa"))
    path.write_text("{]")
    with pytest.raises(InputError, match="not a CSV or JSON-lines"):
        read_task(TaskConfig(name="t", file=str(path), kind="xcopa"))
    path.write_text(json.dumps(XCOPA | {"label": 5}))
    with pytest.raises(InputError, match="row 1 is not of the kind xcopa"):
        read_task(TaskConfig(name="t", file=str(path), kind="xcopa"))
    path.write_text("")
    with pytest.raises(InputError, match="no rows"):
        read_task(TaskConfig(name="t", file=str(path), kind="xcopa"))
