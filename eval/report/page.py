"""What the report's templates show, as plain values: tables, charts, answers, replays. No file is read here."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from adapters.naming import AdapterName
from common.language import LANGUAGES
from eval.metrics.definitions import HEADLINE, METRICS, Metric
from eval.metrics.floors import CEILING_LABEL, FLOOR_LABELS
from eval.metrics.scoring import GROUP_METRICS
from eval.metrics.statistics import Comparison, bootstrap_scores, mean
from eval.report import charts
from eval.report.load import System
from eval.report.sweep_section import sweep_section
from eval.report.verdict import PRIMARY, SECONDARY, Verdict, better, metric_of, number, sentence

MAXIMUM_POINTS = 2500  # of the cluster map
MAXIMUM_ANSWERS = 200  # items side by side; the others are in items.jsonl
POINT_TEXT = 140  # characters shown on hover
PLOTTED_FLOORS = ("other_answer", "frequent_words", "prompt")
TABLES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "Likelihood and overlap",
        ("bound_per_token", "bits_per_byte", "chrf", "bleu", "rouge1", "rouge2", "rougeL", "meteor", "exact_match"),
    ),
    ("Meaning", ("cosine", "f1_at_half")),
    (
        "Behaviour",
        (
            "repetition",
            "common_words",
            "distinct1",
            "distinct2",
            "same_answer",
            "length_ratio",
            "empty",
            "truncated",
            "echo",
            "leftover",
        ),
    ),
    ("Language", tuple(f"language_{language}" for language in LANGUAGES)),
)
STEP_LABELS = {
    "rows": "Rows read",
    "in_subsets": "In the chosen subsets",
    "not_null": "Without nulls",
    "not_empty": "Not empty",
    "readable": "Readable",
    "unique": "Unique",
    "sampled": "Sampled",
}


@dataclass(frozen=True)
class DataFacts:
    """What the data stages left: facts as JSON, sizes of the splits, points and picture of the cluster map."""

    select: dict[str, Any]
    clusters: dict[str, Any]
    leakage: dict[str, Any]
    formatted: dict[str, Any]
    split_sizes: dict[str, int]
    points: list[dict[str, Any]]
    picture: str
    sweep: dict[str, Any] | None = None  # sweep.json, where a sweep was run


@dataclass(frozen=True)
class Cell:
    """A cell of a table: the value, and the interval below it where there is one."""

    text: str
    interval: str = ""


def build(
    profile_name: str,
    systems: Sequence[System],
    comparisons: Sequence[Comparison],
    verdict: Verdict,
    data: DataFacts,
    provenance: Mapping[str, Any],
) -> dict[str, Any]:
    """The context of index.html.j2 and report.md.j2."""
    titles = {system.name: system.title for system in systems}
    styles = {system.name: f"s{index}" for index, system in enumerate(systems)}
    return {
        "profile": profile_name,
        "verdict": verdict,
        "titles": titles,
        "styles": styles,
        "keys": {name: charts.marker_svg(style) for name, style in styles.items()},
        "items": systems[0].metrics["n"],
        "systems": [system.name for system in systems],
        "plots": [interval_panel(METRICS[key], systems, styles) for key in HEADLINE],
        "tables": [metric_table(title, keys, systems) for title, keys in TABLES if any_measured(keys, systems)],
        "seeds": seed_table(systems),
        "comparisons": comparison_groups(comparisons, titles),
        "detectable": [detectable_line(key, comparisons) for key in HEADLINE] if len(systems) > 1 else [],
        "permutations_family": len(comparisons),
        "curves": curve_panels(systems, styles),
        "curve_tables": [curve_table(system) for system in systems if system.curve],
        "sweep": sweep_section(data.sweep, styles) if data.sweep else None,
        "trained": [system.name for system in systems if system.curve],
        "groups": group_tables(systems),
        "noise": noise_panels(systems, styles),
        "noise_table": noise_table(systems),
        "overflow": overflow_section(systems, styles),
        "retention": retention_rows(systems),
        "tasks": task_tables(systems),
        "answers": answer_rows(systems),
        "answers_left_out": max(0, systems[0].metrics["n"] - MAXIMUM_ANSWERS),
        "subsets": sorted({item["subset_name"] for item in systems[0].items}),
        "funnel": funnel(data.select),
        "split_sizes": data.split_sizes,
        "leakage": leakage_rows(data.leakage),
        "facts": [
            ("Clusters", flatten(data.clusters)),
            ("Leakage audit", flatten(data.leakage)),
            ("Formatting", flatten(data.formatted)),
        ],
        "picture": data.picture,
        "map": map_data(data.points),
        "clusters": sorted({point["cluster"] for point in data.points}),
        "player": player_data(systems, styles),
        "costs": cost_rows(systems),
        "signatures": systems[0].metrics["signatures"],
        "settings": systems[0].metrics["settings"],
        "provenance": provenance_rows(provenance),
        "versions": provenance.get("versions", {}),
        "command": provenance.get("command", ""),
        "adapter_hashes": {
            one.title: one.adapter_sha256
            for system in systems
            for one in system.trainings.values()
            if one.adapter_sha256
        },
    }


def build_adapter(
    profile_name: str,
    system: System,
    systems: Sequence[System],
    comparisons: Sequence[Comparison],
    verdict: Verdict,
    provenance: Mapping[str, Any],
) -> dict[str, Any]:
    """The context of adapter.html.j2: one adapter beside the base."""
    shown = [other for other in systems if other.name in ("base", system.name)]
    titles = {other.name: other.title for other in systems}
    styles = {other.name: f"s{index}" for index, other in enumerate(systems)}
    about = [item for item in comparisons if system.name in (item.first, item.second)]
    items = sorted(system.items, key=lambda item: item["scores"]["chrf"])
    return {
        "profile": profile_name,
        "name": system.name,
        "title": system.title,
        "items": system.metrics["n"],
        "flags": [flag for flag in verdict.flags if AdapterName.parse(flag.system).method == system.name],
        "sentences": [sentence(item, titles) for item in about if item.metric in ("bound_per_token", "chrf")],
        "systems": [other.name for other in shown],
        "titles": titles,
        "styles": styles,
        "keys": {name: charts.marker_svg(style) for name, style in styles.items()},
        "plots": [interval_panel(METRICS[key], shown, styles) for key in HEADLINE],
        "tables": [metric_table(title, keys, shown) for title, keys in TABLES if any_measured(keys, shown)],
        "seeds": seed_table([system]),
        "curves": curve_panels([system], styles),
        "curve_tables": [curve_table(system)] if system.curve else [],
        "groups": group_tables(shown),
        "noise": noise_panels(shown, styles),
        "noise_table": noise_table(shown),
        "worst": items[:5],
        "best": items[::-1][:5],
        "run": flatten({key: value for key, value in system.run.items() if key not in ("provenance", "settings")}),
        "run_settings": flatten(system.run.get("settings", {})),
        "player": player_data(shown, styles),
        "adapter_sha256": system.adapter_sha256,
        "provenance": provenance_rows(provenance),
        "versions": provenance.get("versions", {}),
        "command": provenance.get("command", ""),
    }


def any_measured(keys: Sequence[str], systems: Sequence[System]) -> bool:
    return any(system.value(key) is not None for key in keys for system in systems)


def interval_panel(metric: Metric, systems: Sequence[System], styles: Mapping[str, str]) -> Markup:
    rows = []
    for system in systems:
        found = system.scores[metric.key]
        rows.append(charts.Row(system.title, styles[system.name], found["value"], found["low"], found["high"]))
    floors = systems[0].metrics["floors"]
    lines = [(FLOOR_LABELS[name], floors[name][metric.key]) for name in PLOTTED_FLOORS if metric.key in floors[name]]
    note = f"{metric.better} is better" + (f", {metric.unit}" if metric.unit else "")
    return charts.interval_plot(metric.label, note, rows, lines, metric.decimals)


def metric_table(title: str, keys: Sequence[str], systems: Sequence[System]) -> dict[str, Any]:
    """One table: a column per metric, a row per system, then floors and ceiling."""
    metrics = [metric_of(key) for key in keys if any(system.value(key) is not None for system in systems)]
    rows = [
        {
            "label": f"{system.title}, {len(system.trainings)} seeds" if system.others else system.title,
            "name": system.name,
            "seeds": len(system.trainings),
            "cells": [interval_cell(system.scores.get(metric.key), metric) for metric in metrics],
        }
        for system in systems
    ]
    content = systems[0].metrics
    pseudo = [(FLOOR_LABELS[name], values) for name, values in content["floors"].items()]
    pseudo.append((CEILING_LABEL, content["ceiling"]))
    if any(metric.key in values for _, values in pseudo for metric in metrics):
        for label, values in pseudo:
            cells = [Cell(number(values[m.key], m) if m.key in values else "–") for m in metrics]
            rows.append({"label": label, "name": None, "seeds": 1, "cells": cells})
    return {"title": title, "metrics": metrics, "rows": rows}


def seed_table(systems: Sequence[System]) -> dict[str, Any] | None:
    """Every training of the methods with several seeds on the two metrics of the verdict, all of them together, and
    the spread between them; None where no method has several.
    """
    metrics = [METRICS[key] for key in (PRIMARY, SECONDARY)]

    def row(system: System, seed: str, cells: list[Cell]) -> dict[str, Any]:
        return {"name": system.name, "label": system.title, "seed": seed, "cells": cells}

    def cells_of(scores: Mapping[str, Any]) -> list[Cell]:
        ends = ("value", "low", "high")  # the standard error would make the table too wide for a phone
        return [interval_cell({end: scores[metric.key][end] for end in ends}, metric) for metric in metrics]

    rows = []
    for system in (system for system in systems if system.others):
        rows += [row(system, str(seed), cells_of(one.metrics["metrics"])) for seed, one in system.trainings.items()]
        rows.append(row(system, "all", cells_of(system.scores)))
        spread = [Cell(number(deviation_over_seeds(system, metric.key), metric)) for metric in metrics]
        rows.append(row(system, "SD", spread))
    left_out = [text for system in systems for text in system.left_out]
    if not rows and not left_out:
        return None
    return {"metrics": metrics, "rows": rows, "left_out": left_out, "shown": next(iter(systems[0].trainings))}


def deviation_over_seeds(system: System, key: str) -> float:
    """Standard deviation of a score over the trainings."""
    return statistics.stdev(one.metrics["metrics"][key]["value"] for one in system.trainings.values())


def interval_cell(found: Mapping[str, Any] | None, metric: Metric) -> Cell:
    """Value and interval of one entry of metrics.json, with its standard error where it has one."""
    if found is None:
        return Cell("–")
    interval = ""
    if found["low"] is not None:
        interval = f"{number(found['low'], metric).rstrip('%')} to {number(found['high'], metric)}"
    if "standard_error" in found:
        interval += f", SE {number(found['standard_error'], metric)}"
    return Cell(number(found["value"], metric), interval)


def comparison_groups(comparisons: Sequence[Comparison], titles: dict[str, str]) -> list[dict[str, Any]]:
    groups = []
    for key in HEADLINE:
        of_metric = [item for item in comparisons if item.metric == key]
        if not of_metric:
            continue
        metric = METRICS[key]
        rows = [
            {
                "pair": f"{titles[item.first]} − {titles[item.second]}",
                "difference": signed(item.difference, metric),
                "interval": f"{signed(item.low, metric)} to {signed(item.high, metric)}",
                "p": f"{item.p_adjusted:.4f}",
                "effect": signed_plain(item.effect),
                "detectable": number(item.detectable, metric),
                "seeds": item.seeds,
                "winner": titles[winner] if (winner := better(item)) else "cannot be told apart",
            }
            for item in of_metric
        ]
        groups.append({"metric": metric, "rows": rows, "sentences": [sentence(item, titles) for item in of_metric]})
    return groups


def detectable_line(key: str, comparisons: Sequence[Comparison]) -> dict[str, str]:
    """The smallest difference this test set detects between any two adapters, or between the only one and the base.

    Pairs with the base say little about adapters: their answers differ far more from item to item.
    """
    pairs = [item for item in comparisons if item.metric == key]
    between = [item for item in pairs if "base" not in (item.first, item.second)] or pairs
    return {"label": METRICS[key].name, "value": number(max(item.detectable for item in between), METRICS[key])}


def curve_panels(systems: Sequence[System], styles: Mapping[str, str]) -> list[Markup]:
    """Training loss, validation loss with its interval, learning rate; only what the curves hold."""
    trained = [system for system in systems if system.curve]
    if not trained:
        return []
    training = [_series(system, styles, "train_loss") for system in trained]
    validation = [_series(system, styles, "validation_loss", "validation_low", "validation_high") for system in trained]
    rates = [_series(system, styles, "learning_rate") for system in trained]
    panels = [
        charts.line_chart("Validation loss", "band: 95% interval", validation, "optimizer step", "nats per token"),
        charts.line_chart("Training loss", "noisy: one draw per row", training, "optimizer step", "nats per token"),
        charts.line_chart("Learning rate", "", rates, "optimizer step", "rate"),
    ]
    return [panel for panel in panels if panel]


def _series(system: System, styles: Mapping[str, str], key: str, low: str = "", high: str = "") -> charts.Series:
    rows = [row for row in system.curve if row.get(key) is not None and row.get("step") is not None]
    banded = bool(low) and all(row.get(low) is not None and row.get(high) is not None for row in rows)

    def column(name: str) -> list[float]:
        return [value for row in rows if (value := row[name]) is not None]

    return charts.Series(
        system.title,
        styles[system.name],
        column("step"),
        column(key),
        column(low) if banded else (),
        column(high) if banded else (),
    )


def curve_table(system: System) -> dict[str, Any]:
    """The rows of the curve that have a validation, and the last one; blank cells stay blank."""
    columns = ["step", "train_loss", "validation_loss", "validation_low", "validation_high", "learning_rate"]
    rows = [row for row in system.curve if row.get("validation_loss") is not None] or system.curve[-1:]
    cells = [[_curve_cell(name, row.get(name)) for name in columns] for row in rows]
    return {"title": system.title, "columns": [name.replace("_", " ") for name in columns], "rows": cells}


def _curve_cell(name: str, value: float | None) -> str:
    if value is None:
        return ""
    if name == "step":
        return f"{value:.0f}"
    return charts.rate_text(value) if name == "learning_rate" else f"{value:.4f}"


def group_tables(systems: Sequence[System]) -> list[dict[str, Any]]:
    """Bound per token and per byte and chrF++ by subset, cluster and length of the reference."""
    labels = {"subset_name": "Subset", "cluster": "Cluster", "answer_tokens": "Tokens of the reference"}
    tables = []
    for kind, label in labels.items():
        groups = systems[0].metrics["groups"][kind]
        for key in GROUP_METRICS:
            metric = METRICS[key]
            rows = []
            for group, of_group in groups.items():
                cells = [interval_cell(system.metrics["groups"][kind][group][key], metric) for system in systems]
                rows.append({"label": group, "n": of_group[key]["n"], "cells": cells})
            tables.append({"title": f"{metric.label} by {label.lower()}", "label": label, "rows": rows})
    return tables


def noise_panels(systems: Sequence[System], styles: Mapping[str, str]) -> list[Markup]:
    """Cross-entropy and accuracy of masked tokens over the share that is masked."""
    measured = [system for system in systems if system.metrics.get("noise_levels")]
    panels = []
    for key, title, unit, factor in (
        ("nats", "Cross-entropy by noise level", "nats per masked token", 1.0),
        ("accuracy", "Accuracy by noise level", "right tokens, %", 100.0),
    ):
        series = []
        for system in measured:
            levels = system.metrics["noise_levels"]
            shares = [100 * level["mask_share"] for level in levels]
            values = [factor * level[key] for level in levels]
            series.append(charts.Series(system.title, styles[system.name], shares, values))
        panels.append(charts.line_chart(title, "", series, "answer tokens masked, %", unit))
    return [panel for panel in panels if panel]


def noise_table(systems: Sequence[System]) -> dict[str, Any]:
    """The same as numbers: per mask share, cross-entropy and accuracy of each system."""
    measured = [system for system in systems if system.metrics.get("noise_levels")]
    if not measured:
        return {"systems": [], "rows": []}
    rows = []
    for index, level in enumerate(measured[0].metrics["noise_levels"]):
        found = [system.metrics["noise_levels"][index] for system in measured]
        cells = [Cell(f"{one['nats']:.3f}", f"{100 * one['accuracy']:.1f}% right") for one in found]
        rows.append({"label": f"{100 * level['mask_share']:.0f}%", "n": level["tokens"], "cells": cells})
    return {"systems": [system.name for system in measured], "rows": rows}


def overflow_section(systems: Sequence[System], styles: Mapping[str, str]) -> dict[str, Any] | None:
    """Answer length over the token budget, as a chart and a table; None where it was not measured."""
    measured = [system for system in systems if system.metrics.get("eos_overflow")]
    if not measured:
        return None
    series, rows = [], []
    for system in measured:
        entries = system.metrics["eos_overflow"]
        lengths = [entry["answer_tokens"] for entry in entries]
        series.append(
            charts.Series(
                system.title,
                styles[system.name],
                [math.log2(entry["budget"]) for entry in entries],
                [length["value"] for length in lengths],
                [length["low"] for length in lengths if length["low"] is not None],
                [length["high"] for length in lengths if length["high"] is not None],
            )
        )
    for index, first in enumerate(measured[0].metrics["eos_overflow"]):
        cells = []
        for entry in (system.metrics["eos_overflow"][index] for system in measured):
            stopped, empty = (f"{100 * entry[key]['value']:.0f}%" for key in ("stopped", "empty"))
            cells.append(Cell(f"{entry['answer_tokens']['value']:.1f}", f"{stopped} stop, {empty} empty"))
        rows.append({"label": f"{first['budget']} tokens", "n": first["answer_tokens"]["n"], "cells": cells})
    budgets = [entry["budget"] for entry in measured[0].metrics["eos_overflow"]]
    names = [(math.log2(budget), str(budget)) for budget in budgets]
    title, note = "Answer length by budget", "band: 95% interval"
    chart = charts.line_chart(title, note, series, "token budget, logarithmic", "answer tokens", x_names=names)
    return {"chart": chart, "rows": rows, "systems": [system.name for system in measured]}


def retention_rows(systems: Sequence[System]) -> list[dict[str, Any]]:
    """The bound on the English sample, and its change against the base with a 95% interval over the sample's items."""
    measured = {system.name: system for system in systems if system.metrics.get("english")}
    base = measured.get("base")
    rows = []
    for system in measured.values():
        english = system.metrics["english"]
        metric = METRICS["bound_per_token"]
        change = ""
        if base is not None and system is not base:
            own, other = (
                np.array(one.metrics["english"]["statistics"]["bound_per_token"], dtype=np.float64)
                for one in (system, base)
            )
            differences = bootstrap_scores(own, mean, 2000, 0) - bootstrap_scores(other, mean, 2000, 0)
            low, high = np.quantile(differences, (0.025, 0.975))
            value = float(mean(own.sum(axis=0)) - mean(other.sum(axis=0)))
            change = f"{signed(value, metric)} [{signed(float(low), metric)}, {signed(float(high), metric)}]"
        rows.append(
            {
                "name": system.name,
                "cells": [interval_cell(english[key], METRICS[key]) for key in ("bound_per_token", "bits_per_byte")],
                "change": change or "–",
                "n": english["bound_per_token"]["n"],
            }
        )
    return rows


def task_tables(systems: Sequence[System]) -> list[dict[str, Any]]:
    """Multiple-choice accuracy per task, where tasks were configured."""
    tables = []
    for name, first in systems[0].metrics.get("tasks", {}).items():
        rows = []
        for system in systems:
            found = system.metrics.get("tasks", {}).get(name)
            if found is None:
                continue
            cells = [_share_cell(found[key]) for key in ("accuracy", "accuracy_normalised")]
            rows.append({"name": system.name, "cells": cells})
        tables.append({"title": name, "n": first["n"], "chance": f"{100 * first['chance']:.0f}%", "rows": rows})
    return tables


def _share_cell(found: Mapping[str, Any]) -> Cell:
    low, high = found["low"], found["high"]
    return Cell(f"{100 * found['value']:.0f}%", "" if low is None else f"{100 * low:.0f} to {100 * high:.0f}%")


def answer_rows(systems: Sequence[System]) -> list[dict[str, Any]]:
    """Items side by side: the texts, each system's scores, and what the sorting needs."""
    rows = []
    for index, item in enumerate(systems[0].items[:MAXIMUM_ANSWERS]):
        answers = []
        for system in systems:
            own = system.items[index]
            answers.append(
                {
                    "name": system.name,
                    "text": own["answer"],
                    "chrf": own["scores"]["chrf"],
                    "bound": own["scores"]["bound_per_token"],
                    "language": METRICS[f"language_{own['language']}"].label,
                    "stopped": own["stopped"],
                }
            )
        chrf = [answer["chrf"] for answer in answers]
        rows.append(
            {
                "number": index + 1,
                "subset": item["subset_name"],
                "cluster": item["cluster"],
                "prompt": item["prompt"],
                "reference": item["reference"],
                "answers": answers,
                "spread": round(max(chrf) - min(chrf), 2),
                "best": round(max(chrf), 2),
                "worst": round(min(chrf), 2),
            }
        )
    return rows


def funnel(select: Mapping[str, Any]) -> dict[str, Any]:
    """Rows left after each step, in all and by subset; empty where the facts have another form."""
    steps = [step for step in select.get("steps", []) if step in select.get("total", {})]
    total = select.get("total", {})
    first = max(1, total[steps[0]]) if steps else 1
    bars = [
        {"label": STEP_LABELS.get(s, s.replace("_", " ")), "rows": total[s], "share": total[s] / first} for s in steps
    ]
    last = steps[-1] if steps else ""
    subsets = {name: counts for name, counts in select.get("subsets", {}).items() if counts.get(last)}
    return {
        "bars": bars,
        "steps": [STEP_LABELS.get(step, step.replace("_", " ")) for step in steps],
        "subsets": [{"name": name, "counts": [counts[step] for step in steps]} for name, counts in subsets.items()],
    }


LEAK_LABELS = {
    "content_group": "Same content group",
    "exact_pair": "Same prompt and answer",
    "normalised_pair": "Same up to case and spaces",
    "same_answer": "Same long answer",
    "shared_shingle": "A long run of words in common",
    "near_duplicate": "Near-duplicate",
    "cosine": "Close in meaning",
    "any": "Any of these",
}


def leakage_rows(leakage: Mapping[str, Any]) -> list[dict[str, str]]:
    """Test rows with a leak by class: in a split by rows alone, in this split, and validation rows in this split."""
    after = leakage.get("after", {})
    if "test" not in after:
        return []
    before = leakage.get("before", {}).get("row_disjoint_test", {})
    columns = {"before": before, "test": after["test"], "validation": after.get("validation", {})}
    return [
        {"label": str(LEAK_LABELS.get(kind, kind.replace("_", " ")))}
        | {name: fact_text(counts[kind]) if kind in counts else "–" for name, counts in columns.items()}
        for kind in after["test"]
    ]


def flatten(facts: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested facts as lines of (dotted name, text); long lists are counted instead of spelt out."""
    lines: list[tuple[str, str]] = []
    for key, value in facts.items():
        name = f"{prefix}{str(key).replace('_', ' ')}"
        if isinstance(value, Mapping):
            lines += flatten(value, f"{name} · ")
        elif isinstance(value, list) and (len(value) > 8 or any(isinstance(one, dict | list) for one in value)):
            lines.append((name, f"{len(value)} entries"))
        elif isinstance(value, list):
            lines.append((name, ", ".join(fact_text(one) for one in value) or "none"))
        else:
            lines.append((name, fact_text(value)))
    return lines


def fact_text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
    return str(value)


def map_data(points: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The cluster map's points in 0..1000, an evenly spread choice of at most MAXIMUM_POINTS, with short texts."""
    stride = max(1, -(-len(points) // MAXIMUM_POINTS))
    chosen = points[::stride]
    subsets = sorted({point["subset_name"] for point in chosen})
    ends = {axis: (min(p[axis] for p in chosen), max(p[axis] for p in chosen)) for axis in ("x", "y")} if chosen else {}

    def place(point: Mapping[str, Any], axis: str) -> int:
        low, high = ends[axis]
        return round(1000 * (point[axis] - low) / ((high - low) or 1))

    return {
        "subsets": subsets,
        "shown": len(chosen),
        "all": len(points),
        "points": [
            [
                place(point, "x"),
                1000 - place(point, "y"),
                point["cluster"],
                subsets.index(point["subset_name"]),
                shorten(point["text"]),
            ]
            for point in chosen
        ],
    }


def shorten(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= POINT_TEXT else flat[: POINT_TEXT - 1].rstrip() + "…"


def player_data(systems: Sequence[System], styles: Mapping[str, str]) -> dict[str, Any]:
    """The replays: per item the prompt and reference, per system the steps as they were recorded."""
    if not systems or not systems[0].trace:
        return {"items": []}
    items = []
    for index, first in enumerate(systems[0].trace):
        replays = [
            {"name": s.name, "title": s.title, "style": styles[s.name]} | _replay(s.trace[index]) for s in systems
        ]
        items.append({"prompt": first["prompt"], "reference": first["reference"], "replays": replays})
    return {"items": items}


def _replay(trace: Mapping[str, Any]) -> dict[str, Any]:
    return {"length": trace["length"], "forward_passes": trace["forward_passes"], "steps": trace["steps"]}


def cost_rows(systems: Sequence[System]) -> list[dict[str, Any]]:
    rows = []
    for system in systems:
        cost, run = system.accounting, system.run
        rows.append(
            {
                "label": system.title,
                "passes": fact_text(cost.get("forward_passes")),
                "speed": _rounded(cost.get("tokens_per_second")),
                "generation": _rounded(cost.get("generation_seconds")),
                "memory": f"{cost['peak_memory_bytes'] / 2**30:.2f}" if cost.get("peak_memory_bytes") else "",
                "training": _rounded(run.get("training_seconds")),
                "parameters": fact_text(run.get("trainable_parameters")) if run else "–",
            }
        )
    return rows


def _rounded(value: float | None) -> str:
    """A column's seconds or tokens per second with one decimal each, so that they line up."""
    return "–" if value is None else f"{value:,.1f}"


def provenance_rows(provenance: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Everything of `provenance` but versions and command, which have their own place."""
    return flatten({key: value for key, value in provenance.items() if key not in ("versions", "command", "settings")})


def signed(value: float, metric: Metric) -> str:
    text = number(abs(value), metric)
    return text if float(text.rstrip("%")) == 0 else f"{'+' if value > 0 else '−'}{text}"


def signed_plain(value: float) -> str:
    return f"{'+' if value > 0 else '−' if value < 0 else ''}{abs(value):.2f}"
