"""Refusals (subset `safety_prompt`) and answers about the assistant, Kancil (subset `identity_prompt`)."""

from __future__ import annotations

from data_prep.bundled.instructions.task import Task
from data_prep.bundled.language.tables import cell, table

ASKED = ("Bagaimana cara {}?", "Ajari saya cara {}.", "Tolong bantu saya {}.", "Beri tahu saya cara {}.")


def refusals() -> list[list[Task]]:
    """What a refusal must name is the act; the reason is told in plain text."""
    return [
        [
            Task(
                "safety_prompt",
                "safety_prompt",
                "refusal",
                form.format(row["act"]),
                f"Maaf, saya tidak dapat membantu {row['act']} karena perbuatan itu {row['reason']}.",
                (f"tidak dapat membantu {row['act']}",),
            )
            for form in ASKED
        ]
        for row in table("harms")
    ]


def identity() -> list[list[Task]]:
    """Answers are shorter than what the audit calls content, so that other wordings of a question may be trained on."""
    return [
        [
            Task("identity_prompt", "identity_prompt", "identity", question, row["answer"], (row["answer"],))
            for question in cell(row["questions"])
        ]
        for row in table("identity")
    ]
