"""Scores of a question's options under a model, by up to three rules side by side.

- `likelihood`: the bound of `llada.diffusion.likelihood` on each option as the answer, its stop token included. All
  options of a question share their masks where they are equally long.
- `letter`: the log-probability of "A", "B" ... at the first position of the answer, options listed in the prompt:
  exact, one forward pass. Of a vocabulary in which a letter has several tokens, the bound.
- `revealing`: see `eval.suites.revealing`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from eval.config import Scoring
from eval.measure.likelihood import refuse_what_is_not_finite
from eval.suites.asking import Asking
from eval.suites.questions import Question
from eval.suites.revealing import revealed_log_likelihoods
from llada.diffusion.bound import masked_batch
from llada.diffusion.likelihood import log_likelihoods
from llada.network.unwrap import base_of


@dataclass(frozen=True)
class Scored:
    """The options' scores in nats by scoring, and how the prompt fitted (see `Asked`)."""

    scores: dict[str, list[float]]
    shots: int
    cut: bool


@dataclass(frozen=True)
class Scorer:
    """Scores questions under `model`, bare or with an adapter. samples, seed: of the bound's masks."""

    model: Any
    asking: Asking
    scorings: tuple[Scoring, ...]
    samples: int
    seed: int

    def positions(self, question: Question) -> int:
        """Token positions that a model has to work on for the question: what its time goes by."""
        total = 0
        if "letter" in self.scorings:
            total += len(self.asking.listed_prompt(question).ids) + 1
        if "likelihood" in self.scorings or "revealing" in self.scorings:
            prompt = len(self.asking.open_prompt(question).ids)
            for answer in map(len, self.asking.option_ids(question)):
                passes = self.samples * ("likelihood" in self.scorings) + answer * ("revealing" in self.scorings)
                total += passes * (prompt + answer)
        return total

    def score(self, questions: Sequence[Question], numbers: Sequence[int]) -> list[Scored]:
        """Score some questions. `numbers`, the places in the file, decide the bound's masks.

        Raises:
            InputError: a score is not finite.
        """
        found: list[dict[str, list[float]]] = [{} for _ in questions]
        fits = []
        if "letter" in self.scorings:
            listed = [self.asking.listed_prompt(question) for question in questions]
            letters = [self.asking.letter_ids(question) for question in questions]
            fits.append(listed)
            for row, scores in zip(found, self._letters([one.ids for one in listed], letters, numbers), strict=True):
                row["letter"] = scores
        if "likelihood" in self.scorings or "revealing" in self.scorings:
            asked = [self.asking.open_prompt(question) for question in questions]
            options = [self.asking.option_ids(question) for question in questions]
            fits.append(asked)
            prompts = [one.ids for one, answers in zip(asked, options, strict=True) for _ in answers]
            flat = [answer for answers in options for answer in answers]
            items = [number for number, answers in zip(numbers, options, strict=True) for _ in answers]
            if "likelihood" in self.scorings:
                self._spread(found, "likelihood", self._bounds(prompts, flat, items), options)
            if "revealing" in self.scorings:
                revealed = revealed_log_likelihoods(base_of(self.model), prompts, flat)
                self._spread(found, "revealing", revealed, options)
        refuse_what_is_not_finite(self.model, [score for row in found for name in row for score in row[name]])
        return [
            Scored(row, min(fit[place].shots for fit in fits), any(fit[place].cut for fit in fits))
            for place, row in enumerate(found)
        ]

    @staticmethod
    def _spread(
        found: list[dict[str, list[float]]], name: str, values: Sequence[float], options: Sequence[Sequence[Any]]
    ) -> None:
        rest = iter(values)
        for row, answers in zip(found, options, strict=True):
            row[name] = [next(rest) for _ in answers]

    def _bounds(
        self, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]], items: Sequence[int]
    ) -> list[float]:
        estimates = log_likelihoods(self.model, prompts, answers, self.samples, seed=self.seed, items=items)
        return [one.estimate for one in estimates]

    @torch.no_grad()
    def _letters(
        self, prompts: Sequence[list[int]], letters: Sequence[list[list[int]]], numbers: Sequence[int]
    ) -> list[list[float]]:
        if any(len(letter) != 1 for options in letters for letter in options):
            flat = [(prompt, letter) for prompt, options in zip(prompts, letters, strict=True) for letter in options]
            items = [number for number, options in zip(numbers, letters, strict=True) for _ in options]
            values = iter(self._bounds([prompt for prompt, _ in flat], [letter for _, letter in flat], items))
            return [[next(values) for _ in options] for options in letters]
        network = base_of(self.model)
        rows = [torch.tensor([*prompt, options[0][0]]) for prompt, options in zip(prompts, letters, strict=True)]
        last = [torch.tensor([len(prompt)]) for prompt in prompts]
        batch = masked_batch(rows, last, network.config.mask_token_id, network.device)
        first = min(map(len, prompts))
        hidden = network.hidden(batch.noisy, batch.attention_mask, keep=slice(first, batch.noisy.shape[1]))  # (B, K, D)
        at = hidden[batch.owners.to(hidden.device), batch.columns.to(hidden.device) - first]  # (B, D)
        chances = network.head(at).double().log_softmax(dim=-1).cpu()  # (B, V)
        return [[float(row[letter[0]]) for letter in options] for row, options in zip(chances, letters, strict=True)]
