"""Results as lm-evaluation-harness logs them with `--log_samples`: one JSON line per question, for its own tools.

Keys, nesting and hashes are those of lm_eval 0.4's `samples_<task>_<date>.jsonl` for a multiple-choice task;
`acc_norm` is per UTF-8 byte of the option, as there. A log-likelihood here is the score of one of
`eval.suites.scoring`'s rules, and `is_greedy`, which a bound has not, is always false.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from eval.suites.asking import alone, answered, examples, with_options
from eval.suites.questions import LETTERS, Question
from eval.suites.results import credit
from eval.suites.run import Outcome
from eval.suites.task import Task


def harness_samples(task: Task, outcome: Outcome, scoring: str) -> list[dict[str, Any]]:
    """The rows of the file of one scoring."""
    return [
        _sample(place, question, one.scores[scoring], scoring, _shown(task, question, one.shots, scoring))
        for place, (question, one) in enumerate(zip(task.questions, outcome.scored, strict=True))
    ]


def _shown(task: Task, question: Question, count: int, scoring: str) -> list[str]:
    """The examples that found room: the last `count`."""
    wanted = examples(question, task.pool, task.config.shots)
    return [answered(one, scoring == "letter") for one in wanted[len(wanted) - count :]]


def _sample(place: int, question: Question, scores: list[float], scoring: str, shown: list[str]) -> dict[str, Any]:
    by_letter = scoring == "letter"
    prompt = "\n\n".join([*shown, with_options(question) if by_letter else alone(question)])
    answers = list(LETTERS[: len(question.options)]) if by_letter else list(question.options)
    doc = {"id": question.id, "stem": question.stem, "options": list(question.options), "answer": question.answer}
    doc |= {"group": question.group, **question.facets}
    responses = [[str(value), "False"] for value in scores]
    return {
        "doc_id": place,
        "doc": doc,
        "target": str(question.answer),
        "arguments": {
            f"gen_args_{number}": {"arg_0": prompt, "arg_1": f" {answer}"} for number, answer in enumerate(answers)
        },
        "resps": [[response] for response in responses],
        "filtered_resps": responses,
        "filter": "none",
        "metrics": ["acc", "acc_norm"],
        "doc_hash": _hash(json.dumps(doc, indent=2, ensure_ascii=False)),
        "prompt_hash": _hash(prompt),
        "target_hash": _hash(str(question.answer)),
        "acc": credit(scores, answers, question.answer),
        "acc_norm": credit(scores, answers, question.answer, per_byte=True),
    }


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
