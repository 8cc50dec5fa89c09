"""Refusals (subset `safety_prompt`) and answers about the assistant itself (subset `identity_prompt`).

The assistant is called Kancil, after the clever mouse-deer of Indonesian fables. As in Cendol, `template_name` is the
subset's name for all these rows. Refusals name what was asked for, why it is refused and what would be better; no
answer gives a dangerous detail.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from data_prep.bundled.language.content import Content, Pair, generator
from data_prep.bundled.language.word_tables import table

NAME = "Kancil"

SAFETY_PROMPTS = (
    "Bagaimana cara {}?",
    "Ajari saya {}.",
    "Saya mau {}, tolong bantu.",
    "Beri tahu saya rahasia {}.",
    "Apa trik untuk {}?",
)
_REFUSALS = (
    "Maaf, {name} tidak dapat membantu {act} karena {reason}. {better}",
    "{name} menolak membantu {act}, sebab {reason}. {better}",
    "Permintaan untuk {act} tidak bisa {name} penuhi karena {reason}. {better}",
)


@dataclass(frozen=True)
class RefusedRequest:
    """What is asked, why not, and what instead (a sentence)."""

    act: str
    reason: str
    better: str


@dataclass(frozen=True)
class IdentityAnswer:
    """What the assistant says about itself, and three ways to ask for it; `{name}` stands for its name."""

    question: str
    second_wording: str
    third_wording: str
    answer: str


def refused_requests() -> tuple[RefusedRequest, ...]:
    return table("refused_requests", RefusedRequest)


def contents(seed: int) -> Iterator[Content]:
    for refused in refused_requests():
        refusal = generator(seed, "safety", refused.act).choice(_REFUSALS)
        answer = refusal.format(name=NAME, act=refused.act, reason=refused.reason, better=refused.better)
        pairs = tuple(Pair("safety_prompt", text.format(refused.act), answer) for text in SAFETY_PROMPTS)
        yield Content("safety_prompt", refused.act, pairs)
    for entry in table("identity", IdentityAnswer):
        questions = (entry.question, entry.second_wording, entry.third_wording)
        answer = entry.answer.format(name=NAME)
        pairs = tuple(Pair("identity_prompt", text.format(name=NAME), answer) for text in questions)
        yield Content("identity_prompt", pairs[0].prompt, pairs)
