"""The model card of one adapter, from the same numbers as the report: front matter with evaluation results for the hub,
then lineage, settings, results beside floors, flags and limits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from common.escaping import without_machine_paths
from eval.metrics import METRICS
from eval.metrics.definitions import PRIMARY, SECONDARY
from eval.report.formatting import flatten, number
from eval.report.load import System
from eval.report.page import Findings
from eval.report.sections import comparison, data
from eval.report.sections.beside import refusals, suites
from eval.report.templates.environment import environment

REPORTED = ("bound_per_token", "bits_per_byte", "chrf", "bleu", "rouge1", "rouge2", "rougeL", "meteor", "cosine")


def model_card(findings: Findings, system: System) -> str:
    """The whole README.md: front matter that huggingface_hub has validated, and the text."""
    from huggingface_hub import ModelCard, ModelCardData
    from markupsafe import Markup

    inputs = findings.provenance.get("inputs", {})
    base, dataset = inputs.get("base", {}), inputs.get("dataset", {})
    alone = [replace(other, others=()) for other in findings.beside_base(system)]
    front = ModelCardData(
        language="id",
        library_name="peft",
        base_model=base.get("source") if base.get("kind") == "hub" else None,
        datasets=[dataset["source"]] if dataset.get("kind") == "hub" else None,
        tags=["llada", "masked-diffusion", "indonesian", system.name],
        model_name=f"llada-indonesian-{system.name}",
        eval_results=evaluation_results(system, dataset),
    )
    text = (
        environment()
        .get_template("card.md.j2")
        .render(
            card_data=Markup(front.to_yaml()),
            system=system,
            family="iLLaDA" if system.run.get("base", {}).get("model_type") == "illada" else "LLaDA",
            items=system.metrics["n"],
            flags=[flag for flag in findings.verdict.flags if flag.system == system.name],
            sentences=[*findings.sentences(system), *seeds_sentences(system)],
            comparison=comparison.build(alone, findings.labels),
            suites=suites.of_one(system, alone, findings.labels),
            refusals=refusals.build(alone, findings.labels) if system.refusals is not None else None,
            data=data.build(findings.data),
            lineage=flatten(
                without_machine_paths({"base": base, "dataset": dataset, "encoder": inputs.get("encoder", {})})
            ),
            settings=flatten(without_machine_paths(system.run.get("settings", {}))),
            sampling=flatten(system.metrics["settings"].get("sampling", {})),
            provenance=without_machine_paths(findings.provenance),
        )
    )
    return str(ModelCard(text))


def seeds_sentences(system: System) -> list[str]:
    """How far the trainings of this method with other seeds lie apart; nothing where there is only this one."""
    if not system.others:
        return []
    ranges = []
    for metric in (METRICS[PRIMARY], METRICS[SECONDARY]):
        values = [one.metrics["metrics"][metric.key]["value"] for one in system.trainings.values()]
        ranges.append(f"{metric.name} {number(min(values), metric)} to {number(max(values), metric)}")
    seeds = list(system.trainings)
    return [
        f"Trained with {len(seeds)} seeds ({', '.join(map(str, seeds))}), the method reaches {' and '.join(ranges)}; "
        f"this adapter is the one of seed {seeds[0]}."
    ]


def evaluation_results(system: System, dataset: Mapping[str, Any]) -> list[Any]:
    """One EvalResult per reported metric; the interval and n are in its arguments."""
    from huggingface_hub import EvalResult

    scores = system.metrics["metrics"]
    return [
        EvalResult(
            task_type="text-generation",
            task_name="Indonesian instructions",
            dataset_type=dataset["source"] if dataset.get("kind") == "hub" else "indonesian-instructions",
            dataset_name="held-out instructions, disjoint by content from training",
            dataset_split="test",
            metric_type=key,
            metric_name=METRICS[key].label,
            metric_value=scores[key]["value"],
            metric_args={part: scores[key][part] for part in ("low", "high", "n")},
        )
        for key in REPORTED
        if key in scores
    ]
