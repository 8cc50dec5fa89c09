"""A task's questions scored under a model, slice by slice, resumable per item."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.files import json_lines, sha256_of_json
from common.progress import console, progress_bar, track
from eval.suites.asking import Asking
from eval.suites.results import summarise
from eval.suites.scoring import Scored, Scorer
from eval.suites.task import Task
from llada.network.unwrap import base_of

SLICE = 16  # questions scored together, of similar length
MANY = 2000  # questions whose tokenising is worth a bar
VERSION = 1  # of prompts and scores: another one starts every task anew


@dataclass(frozen=True)
class Outcome:
    """A task's result, and the scores behind it in the order of the questions."""

    result: dict[str, Any]
    scored: list[Scored]


def run_task(
    model: Any, tokenizer: Any, task: Task, *, samples: int, seed: int, journal: Path | None = None, about: Any = None
) -> Outcome:
    """Score a task's questions under `model`, in eval mode, bare or with an adapter.

    Args:
        journal: a folder for the finished items of unfinished runs; None keeps none.
        about: what else the scores depend on (base, adapter), for the journal's name.
    """
    config = task.config
    asking = Asking(tokenizer, task.pool, config.shots, base_of(model).config.max_sequence_length)
    scorer = Scorer(model, asking, config.scorings, samples, seed)
    kept = None
    if journal is not None:
        depends = [
            VERSION,
            config.model_dump(mode="json", exclude={"name", "limit"}),
            task.sha256,
            samples,
            seed,
            about,
        ]
        kept = _Journal(journal / f"{sha256_of_json(depends)[:16]}.jsonl")
    console.print(task.told(), soft_wrap=True)
    done = _score_all(scorer, task, kept)
    scored = [done[number] for number in range(len(task.questions))]
    facts = {
        "damaged": task.damaged,
        "shots": config.shots,
        "with_fewer_shots": sum(one.shots < config.shots for one in scored),
        "cut": sum(one.cut for one in scored),
        "sha256": task.sha256[0],
    }
    result = summarise(config.kind, task.questions, [one.scores for one in scored], facts)
    if kept is not None:
        kept.remove()
    return Outcome(result, scored)


def _score_all(scorer: Scorer, task: Task, kept: _Journal | None) -> dict[int, Scored]:
    """Every question's scores by its number; said are the time it will take and what was there already."""
    done = kept.read(task) if kept else {}
    left_over = [number for number in range(len(task.questions)) if number not in done]
    many = len(left_over) > MANY
    work = {number: scorer.positions(task.questions[number]) for number in track(left_over, "tokenising", enabled=many)}
    if done:
        console.print(f"{task.config.name}: {len(done)} questions were scored by an earlier run")
    total, worked, started, told = sum(work.values()), 0, time.monotonic(), False
    with progress_bar(bool(work)) as progress:
        bar = progress.add_task(task.config.name, total=len(work), note="")
        for numbers in _slices(work):
            questions = [task.questions[number] for number in numbers]
            for number, one in zip(numbers, scorer.score(questions, numbers), strict=True):
                done[number] = one
            if kept:
                kept.add(task, {number: done[number] for number in numbers})
            worked += sum(work[number] for number in numbers)
            elapsed = time.monotonic() - started
            left = elapsed / worked * (total - worked)
            if not told and worked < total:
                console.print(f"{task.config.name}: about {spoken(elapsed + left)} for {len(work)} questions")
                told = True
            progress.update(bar, advance=len(numbers), note=f"{spoken(left)} left")
    return done


def _slices(work: Mapping[int, int]) -> Iterator[list[int]]:
    """Question numbers in slices of similar work: a small slice from the middle first, which tells the time of the
    rest.
    """
    order = sorted(work, key=lambda number: (work[number], number))
    middle = order[len(order) // 2 : len(order) // 2 + 2] if len(order) > SLICE else []
    if middle:
        yield middle
    rest = [number for number in order if number not in middle]
    for start in range(0, len(rest), SLICE):
        yield rest[start : start + SLICE]


def spoken(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class _Journal:
    """Finished items as JSON lines, one appended per item. A line that a killed run left unfinished is passed over."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, task: Task) -> dict[int, Scored]:
        if not self._path.is_file():
            return {}
        found = {}
        for line in json_lines(self._path.read_text(encoding="utf-8", errors="replace")):
            try:
                row = json.loads(line)
                number, scores = row["number"], row["scores"]
                question = task.questions[number] if 0 <= number < len(task.questions) else None
                if question is None or row["id"] != question.id or set(scores) != set(task.config.scorings):
                    continue
                if all(len(values) == len(question.options) for values in scores.values()):
                    found[number] = Scored(scores, row["shots"], row["cut"])
            except (ValueError, KeyError, TypeError):
                continue
        return found

    def add(self, task: Task, scored: Mapping[int, Scored]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as stream:
            for number, one in scored.items():
                row = {"number": number, "id": task.questions[number].id, **vars(one)}
                stream.write(json.dumps(row, allow_nan=False) + "\n")

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)
