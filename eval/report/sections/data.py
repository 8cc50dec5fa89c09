"""Section "Data": how many rows each step left, what the leakage audit found, and the map of the clusters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eval.report.formatting import fact_text, flatten

FILES = "files"  # hashes of what a stage read and wrote: for the next stage, not for a reader
MAXIMUM_POINTS = 2500  # of the cluster map
POINT_TEXT = 140  # characters shown on hover
STEP_LABELS = {
    "rows": "Rows read",
    "in_subsets": "In the chosen subsets",
    "not_null": "Without nulls",
    "not_empty": "Not empty",
    "readable": "Readable",
    "unique": "Unique",
    "sampled": "Sampled",
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


@dataclass(frozen=True)
class FunnelBar:
    """Rows left after one step; `share` is that of the first step's rows."""

    label: str
    rows: int
    share: float


@dataclass(frozen=True)
class Funnel:
    """The steps in all and, as (subset, rows after each step), by subset; empty where the facts have another form."""

    bars: list[FunnelBar]
    splits: list[FunnelBar]
    subsets: list[tuple[str, list[int]]]


@dataclass(frozen=True)
class LeakRow:
    """Leaking rows of one class: in a split by rows alone, and in test and validation as they were split."""

    label: str
    before: str
    test: str
    validation: str


@dataclass(frozen=True)
class ClusterMap:
    """Goes into the page as JSON. points: (x, y in 0..1000, cluster, index of the subset, short text)."""

    subsets: list[str]
    shown: int
    all: int
    points: list[tuple[int, int, int, int, str]]


@dataclass(frozen=True)
class DataSection:
    """picture: the map as a data URI. facts: tables by title."""

    funnel: Funnel
    leaks: list[LeakRow]
    map: ClusterMap
    clusters: list[int]
    picture: str
    facts: dict[str, list[tuple[str, str]]]


def build(data: DataFacts) -> DataSection:
    facts = {"Clusters": data.clusters, "Leakage audit": data.leakage, "Formatting": data.formatted}
    return DataSection(
        funnel=funnel(data.select, data.split_sizes),
        leaks=leak_rows(data.leakage),
        map=cluster_map(data.points),
        clusters=sorted({point["cluster"] for point in data.points}),
        picture=data.picture,
        facts={title: _shown(content) for title, content in facts.items()},
    )


def _shown(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    return flatten({key: fact for key, fact in content.items() if key != FILES})


def funnel(select: Mapping[str, Any], split_sizes: Mapping[str, int]) -> Funnel:
    total = select.get("total", {})
    steps = [step for step in select.get("steps", []) if step in total]
    first = max(1, total[steps[0]]) if steps else 1
    subsets = {name: counts for name, counts in select.get("subsets", {}).items() if steps and counts.get(steps[-1])}
    return Funnel(
        bars=[FunnelBar(_label(step, STEP_LABELS), total[step], total[step] / first) for step in steps],
        splits=[FunnelBar(f"Split: {name}", rows, rows / first) for name, rows in split_sizes.items()],
        subsets=[(name, [counts[step] for step in steps]) for name, counts in subsets.items()],
    )


def _label(key: str, labels: Mapping[str, str]) -> str:
    return labels.get(key, key.replace("_", " "))


def leak_rows(leakage: Mapping[str, Any]) -> list[LeakRow]:
    after = leakage.get("after", {})
    if "test" not in after:
        return []
    sides = (leakage.get("before", {}).get("row_disjoint_test", {}), after["test"], after.get("validation", {}))
    return [
        LeakRow(_label(kind, LEAK_LABELS), *(fact_text(counts[kind]) if kind in counts else "–" for counts in sides))
        for kind in after["test"]
    ]


def cluster_map(points: Sequence[Mapping[str, Any]]) -> ClusterMap:
    """An evenly spread choice of at most MAXIMUM_POINTS points, with short texts."""
    chosen = points[:: max(1, -(-len(points) // MAXIMUM_POINTS))]
    subsets = sorted({point["subset_name"] for point in chosen})
    ends = {axis: (min(p[axis] for p in chosen), max(p[axis] for p in chosen)) for axis in ("x", "y")} if chosen else {}

    def place(point: Mapping[str, Any], axis: str) -> int:
        low, high = ends[axis]
        return round(1000 * (point[axis] - low) / ((high - low) or 1))

    rows = [
        (place(p, "x"), 1000 - place(p, "y"), p["cluster"], subsets.index(p["subset_name"]), shorten(p["text"]))
        for p in chosen
    ]
    return ClusterMap(subsets, len(chosen), len(points), rows)


def shorten(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= POINT_TEXT else flat[: POINT_TEXT - 1].rstrip() + "…"
