"""Two systems' answers compared by BERTScore, or by a language model that judges pairs; off by default.

Both are a `PairScorer`: scores of the two answers to every question. The difference is then tested like every other
(`eval.metrics.statistics.compare`). A judge sees each pair in both orders, because language models prefer a place; a
win is what both orders agree on.

Sources: Zhang et al. 2020 (BERTScore); Zheng et al. 2023, section 3.4 (swapping positions).
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from common.errors import InputError
from common.files import read_json_lines, sha256_of_json, write_json, write_json_lines
from common.progress import track
from eval.metrics.statistics import Array, Comparison, compare, mean, mean_statistics

PROMPT = """Anda menilai dua jawaban atas sebuah permintaan dalam bahasa Indonesia. Jawaban yang lebih baik itu benar, \
menjawab permintaan, dan ditulis dalam bahasa Indonesia yang wajar. Panjang jawaban bukan ukuran.

Permintaan:
{question}

Jawaban A:
{first}

Jawaban B:
{second}

Tulis satu kata saja: A, B, atau SAMA."""
VERDICTS = {"A": 1, "B": -1, "SAMA": 0}


@dataclass(frozen=True)
class Pair:
    """A question of the test set, its reference and two systems' answers."""

    id: str
    question: str
    reference: str
    first: str
    second: str


class PairScorer(Protocol):
    """Anything that scores both answers of every pair."""

    name: str

    def score(self, pairs: Sequence[Pair]) -> tuple[Array, Array]:
        """Scores (n,) of the first and of the second answers; higher is better."""
        ...

    def facts(self) -> dict[str, Any]:
        """What the scores came from, for the written result."""
        ...


@dataclass
class BertScore:
    """BERTScore's F1 against the reference, by the bert-score package.

    Args:
        model: hub id or folder of an encoder that knows Indonesian.
        layer: its hidden layer to compare (bert-score knows the best one of its own list of models only).
    """

    model: str
    layer: int
    name: str = "bertscore"

    def score(self, pairs: Sequence[Pair]) -> tuple[Array, Array]:
        """F1 in 0..1, without rescaling to a baseline."""
        if find_spec("bert_score") is None:
            raise InputError("--by bertscore: bert-score is not installed; run `pip install --editable '.[bertscore]'`")
        from bert_score import BERTScorer  # pyright: ignore[reportMissingImports]

        scorer = BERTScorer(model_type=self.model, num_layers=self.layer)
        references = [pair.reference for pair in pairs]
        # scores are (precision, recall, F1) tensors, however the package annotates them
        first: Any = scorer.score([pair.first for pair in pairs], references)[2]
        second: Any = scorer.score([pair.second for pair in pairs], references)[2]
        return first.numpy().astype(np.float64), second.numpy().astype(np.float64)

    def facts(self) -> dict[str, Any]:
        return {"model": self.model, "layer": self.layer}


@dataclass
class Judge:
    """A language model behind an OpenAI-compatible chat completions address.

    Args:
        url: up to and without `/chat/completions`.
        model: its name there.
        key: for the Authorization header; None sends none.
        kept: JSON lines of verdicts already paid for; grows by one line per verdict, so that a stopped run goes on.
    """

    url: str
    model: str
    key: str | None
    kept: Path
    name: str = "judge"
    unclear: int = 0
    changed_with_order: int = 0
    _known: dict[str, int | None] = field(default_factory=dict)

    def score(self, pairs: Sequence[Pair]) -> tuple[Array, Array]:
        """1 for a win in both orders, 0 otherwise."""
        if self.kept.exists():
            self._known = {row["key"]: row["verdict"] for row in read_json_lines(self.kept)}
        preferences = [self._prefer(pair) for pair in track(pairs, f"judged by {self.model}")]
        wins = np.array(preferences, dtype=np.float64)
        return np.maximum(wins, 0.0), np.maximum(-wins, 0.0)

    def facts(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "prompt": PROMPT,
            "pairs_whose_verdict_changed_with_the_order": self.changed_with_order,
            "pairs_with_an_answer_that_is_no_verdict": self.unclear,
        }

    def _prefer(self, pair: Pair) -> int:
        """1: the first answer wins in both orders, -1: the second one, 0: neither."""
        if pair.first == pair.second:
            return 0
        straight = self._ask(pair.question, pair.first, pair.second)
        swapped = self._ask(pair.question, pair.second, pair.first)
        if straight is None or swapped is None:
            self.unclear += 1
            return 0
        if straight != -swapped:
            self.changed_with_order += 1
            return 0
        return straight

    def _ask(self, question: str, first: str, second: str) -> int | None:
        prompt = PROMPT.format(question=question, first=first, second=second)
        key = sha256_of_json([self.model, prompt])
        if key not in self._known:
            verdict = parse_verdict(self._request(prompt))
            self.kept.parent.mkdir(parents=True, exist_ok=True)
            with self.kept.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"key": key, "verdict": verdict}) + "\n")
            self._known[key] = verdict
        return self._known[key]

    def _request(self, prompt: str) -> str:
        body = {"model": self.model, "temperature": 0, "messages": [{"role": "user", "content": prompt}]}
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self.key}"} if self.key else {})
        address = f"{self.url.rstrip('/')}/chat/completions"
        if not address.startswith(("http://", "https://")):
            raise InputError(f"--url {self.url}: not an http or https address")
        request = urllib.request.Request(address, json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                return str(json.load(response)["choices"][0]["message"]["content"])
        except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
            raise InputError(
                f"{address}: no answer of a chat completions server ({error}); what was judged is kept"
            ) from error


def parse_verdict(answer: str) -> int | None:
    """1 for A, -1 for B, 0 for SAMA, None for anything else."""
    return VERDICTS.get(answer.strip().strip(".*\"'").upper())


def read_pairs(first: Path, second: Path, limit: int | None = None) -> list[Pair]:
    """The pairs of two evaluations' items.jsonl.

    Raises:
        InputError: they answer different questions.
    """
    ours, theirs = (read_json_lines(folder / "items.jsonl") for folder in (first, second))
    if [row["id"] for row in ours] != [row["id"] for row in theirs]:
        raise InputError(f"{first} and {second}: evaluated on different items; run evaluate for both again")
    pairs = [
        Pair(a["id"], a["prompt"], a["reference"], a["answer"], b["answer"]) for a, b in zip(ours, theirs, strict=True)
    ]
    return pairs[:limit]


def compare_answers(
    scorer: PairScorer,
    names: tuple[str, str],
    pairs: Sequence[Pair],
    output: Path,
    *,
    resamples: int,
    permutations: int,
    seed: int,
) -> Comparison:
    """Score all pairs, compare the two systems, write `output` (.json) and the scores beside it (.jsonl)."""
    first, second = scorer.score(pairs)
    comparison = compare(
        names,
        scorer.name,
        (mean_statistics(first), mean_statistics(second)),
        (first, second),
        mean,
        resamples=resamples,
        permutations=permutations,
        seed=seed,
    )
    rows = [
        {"id": pair.id, names[0]: float(a), names[1]: float(b)} for pair, a, b in zip(pairs, first, second, strict=True)
    ]
    write_json_lines(output.with_suffix(".jsonl"), rows)
    means = {names[0]: float(first.mean()), names[1]: float(second.mean())}
    write_json(output, {"opinion": scorer.name, **scorer.facts(), "means": means, "comparison": vars(comparison)})
    return comparison
