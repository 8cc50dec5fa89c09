"""The unit of the world's instruction rows: one prompt with its answer, and what in the answer was asked for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """One instruction row.

    kind: the kind of task under which accuracy is reported.
    required: phrases that a right answer contains, each as a run of words; empty where no one answer is right.
    forbidden: phrases that it does not contain (what else the prompt offers).
    """

    subset: str
    template: str
    kind: str
    prompt: str
    answer: str
    required: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
