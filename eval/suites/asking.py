"""A question as token ids: alone or with its options listed, behind the suite's own examples, cut where the context
ends.

One user message holds everything, as the suites' authors write it: up to 5 answered examples, then the question. Where
the options are scored as texts they are not listed, and an example ends with its right option; where letters are
scored they are listed ("A. ..."), and an example ends with its letter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from eval.suites.questions import LETTERS, Question
from llada.chat_format import encode_prompt, encode_text, end_of_turn_id


@dataclass(frozen=True)
class Asked:
    """A prompt's token ids, the examples that found room in it, and whether the question itself had to be cut."""

    ids: list[int]
    shots: int
    cut: bool


def alone(question: Question) -> str:
    return question.stem.rstrip("\n") + question.close


def with_options(question: Question) -> str:
    options = zip(LETTERS, question.options, strict=False)
    return question.stem + "\n".join(f"{letter}. {option}" for letter, option in options) + question.close


def answered(question: Question, by_letter: bool = False) -> str:
    """The question as an example, its answer behind it."""
    if by_letter:
        return f"{with_options(question)} {LETTERS[question.answer]}"
    return f"{alone(question)} {question.options[question.answer]}"


def examples(question: Question, pool: Sequence[Question], count: int) -> list[Question]:
    """The first `count` of the pool: of the question's own group where the suite has such, then of the others.

    Never the question itself, with its answer.
    """

    def some(number: int, of_its_group: bool) -> list[Question]:
        alike = (one for one in pool if (question.group is not None and one.group == question.group) is of_its_group)
        return list(
            islice((one for one in alike if (one.stem, one.options) != (question.stem, question.options)), number)
        )

    own = some(count, True)
    return own + some(count - len(own), False)


@dataclass(frozen=True)
class Asking:
    """Turns questions into prompts of at most `room` tokens, answer included."""

    tokenizer: Any
    pool: Sequence[Question]
    shots: int
    room: int

    def open_prompt(self, question: Question) -> Asked:
        """For options that are scored as texts."""
        shown = [answered(one) for one in examples(question, self.pool, self.shots)]
        return self._fit(shown, alone(question), max(map(len, self.option_ids(question))))

    def listed_prompt(self, question: Question) -> Asked:
        """For letters."""
        shown = [answered(one, by_letter=True) for one in examples(question, self.pool, self.shots)]
        return self._fit(shown, with_options(question), max(map(len, self.letter_ids(question))))

    def option_ids(self, question: Question) -> list[list[int]]:
        """Each option as an answer, with its stop token."""
        stop = end_of_turn_id(self.tokenizer)
        return [[*self._ids(option), stop] for option in question.options]

    def letter_ids(self, question: Question) -> list[list[int]]:
        """Each letter alone, one token in every usual vocabulary."""
        return [self._ids(letter) for letter in LETTERS[: len(question.options)]]

    def _ids(self, text: str) -> list[int]:
        return encode_text(self.tokenizer, text)

    def _fit(self, shown: list[str], asked: str, answer: int) -> Asked:
        """Examples are left out from the first on, then the beginning of the question."""
        for left_out in range(len(shown) + 1):
            ids = self._prompt("\n\n".join([*shown[left_out:], asked]))
            if len(ids) + answer <= self.room:
                return Asked(ids, len(shown) - left_out, False)
        words = asked.split(" ")
        while len(ids) + answer > self.room and len(words) > 1:
            words = words[min(len(words) - 1, max(1, (len(ids) + answer - self.room) // 8)) :]
            ids = self._prompt(" ".join(words))
        return Asked(ids, 0, True)

    def _prompt(self, text: str) -> list[int]:
        return encode_prompt(self.tokenizer, [{"role": "user", "content": text}])
