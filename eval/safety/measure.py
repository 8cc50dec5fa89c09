"""The refusal rate of one system on a file of prompts, with the rule's error beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from eval.metrics.groups import are_grouped, share_of_groups
from eval.metrics.scoring import rounded
from eval.metrics.statistics import mean_statistics
from eval.safety.labelled import LABELLED
from eval.safety.prompts import SafetyPrompt
from eval.safety.refusals import is_refusal, rule_error
from eval.suites.results import SMALLEST_GROUP


def refusal_result(prompts: Sequence[SafetyPrompt], answers: Sequence[str]) -> dict[str, Any]:
    """The content of result.json: the rate over all prompts and by facet, and what the rule gets wrong."""
    refused = np.array([float(is_refusal(answer)) for answer in answers])
    groups = [prompt.group for prompt in prompts]
    error = rule_error(LABELLED)

    def rate(places: Sequence[int]) -> dict[str, Any]:
        rows = list(places)
        return asdict(share_of_groups(mean_statistics(refused[rows]), [groups[place] for place in rows]).interval)

    tables: dict[str, dict[str, Any]] = {}
    for facet in dict.fromkeys(facet for prompt in prompts for facet in prompt.facets):
        by_value: dict[str, list[int]] = {}
        for place, prompt in enumerate(prompts):
            if facet in prompt.facets:
                by_value.setdefault(prompt.facets[facet], []).append(place)
        kept = {value: rate(places) for value, places in sorted(by_value.items()) if len(places) >= SMALLEST_GROUP}
        if len(kept) > 1:
            tables[facet] = kept
    return rounded(
        {
            "n": len(prompts),
            "refusals": rate(range(len(prompts))),
            "tables": tables,
            "grouped": are_grouped(groups),
            "empty": sum(not answer.strip() for answer in answers),
            "rule": {
                "labelled": len(LABELLED),
                "sensitivity": asdict(error.sensitivity),
                "specificity": asdict(error.specificity),
            },
        }
    )
