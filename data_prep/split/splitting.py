"""Stage `split`: training, validation and test rows, disjoint by content, and the proof in `leakage.json`.

The order is what makes the counts come out exactly:

1. The test pool is drawn first, stratified by template, one row per content group, and each row is compared with all
   candidates. One that has many twins outside its group (a boilerplate family) is replaced from the reserve; the few
   twins of the others, and the groups of all pool rows, are barred from training. The test set is drawn from the pool.
2. The clusters' quotas are drawn from what is left; a short cluster is topped up from the others.
3. Those rows are joined into families (the same content, or leaking into each other), and whole families are taken for
   validation.
4. The audit compares the three sides from scratch, and the stage fails if it finds anything.

Every draw orders rows by the hash of (seed, id).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from common import seals
from common.errors import InputError
from common.files import atomic_folder, write_json
from common.progress import progress_bar
from common.records import Record, read_record
from data_prep.config import DataConfig
from data_prep.rows.conversation import prompts_of
from data_prep.rows.quotas import fill, largest_remainder
from data_prep.rows.tables import print_table
from data_prep.rows.text import seeded_hash
from data_prep.rows.vectors import read_with_vectors
from data_prep.split.leakage import Audit, AuditRows, Leak, count_leaky

VALIDATION_FAMILY = 0.05
"""A family larger than this share of the validation set stays in training."""
TEXT = 120


class LeakageError(RuntimeError):
    """The audit found content on both sides after the split had removed it: a fault of ours."""


@dataclass
class Pool:
    """The test pool, and what it keeps out of training."""

    rows: list[int]
    barred: np.ndarray
    replaced: list[Leak] = field(default_factory=list)
    twins: list[Leak] = field(default_factory=list)
    siblings: list[Leak] = field(default_factory=list)


class _Clustering(Record):
    """What is read of the facts of `cluster`."""

    clusters: list[Any]


def split(
    data: DataConfig,
    *,
    candidates: Path,
    clusters: Path,
    embeddings: Path,
    ids: Path,
    seed: int,
    splits: Path,
    facts: Path,
    cluster_facts: Path | None = None,
) -> None:
    """Write `train`, `validation` and `test` parquet files (the candidates' columns and `cluster`) and the audit.

    Exactly per_cluster x clusters rows go to training and validation together, and test_size to the test.

    Raises:
        InputError: the candidates are too few for the sizes asked for; `cluster` made another number of clusters
            (`cluster_facts`: what it recorded).
        LeakageError: the final audit found a leak.
    """
    table, vectors = read_with_vectors(candidates, embeddings, ids)
    labels = pq.ParquetFile(clusters).read()
    if not labels["id"].equals(table["id"]):
        raise InputError(f"{clusters}: made from other candidates than {candidates}; run the stage cluster again")
    _refuse_other_clusters(labels["cluster"].to_numpy(), data, clusters, cluster_facts)
    table = table.append_column("cluster", labels["cluster"])
    order = _drawing_order(table["id"].to_pylist(), seed)
    with progress_bar() as progress:
        task = progress.add_task("split", total=4, note="fingerprinting")
        audit = Audit(_audit_rows(table, vectors if data.leakage.cosine else None), data.leakage)
        progress.update(task, advance=1, note="drawing the test set")
        pool = draw_pool(table, audit, order, data)
        test = _stratified(np.array(pool.rows), _templates(table), data.test_size)
        progress.update(task, advance=1, note="drawing training and validation")
        drawn, quota = _draw_clusters(table["cluster"].to_numpy(), pool.barred, order, data)
        validation = _draw_validation(audit, drawn, order, data)
        train = np.setdiff1d(drawn, validation)
        progress.update(task, advance=1, note="auditing")
        sides = {"train": train, "validation": validation, "test": np.sort(test)}
        after = _final_audit(table, vectors, sides, data)
        before = _row_disjoint(audit, table, order, data)
        progress.update(task, advance=1, note="done")
    with atomic_folder(splits) as folder:
        for name, rows in sides.items():
            pq.write_table(table.take(pa.array(rows)), folder / f"{name}.parquet", compression="zstd")
    result = _facts(table, sides, pool, quota, before, after, data)
    read = [path for path in (candidates, clusters, embeddings, ids, cluster_facts) if path is not None]
    write_json(facts, seals.sealed(facts, result, read=read, wrote=[splits]))
    _print(result)


def _refuse_other_clusters(labels: np.ndarray, data: DataConfig, clusters: Path, facts: Path | None) -> None:
    """Rows of clusters beyond `data.clusters` would be left out in silence, and quotas given to clusters that are not.

    Raises:
        InputError: the stage cluster made another number of them.
    """
    labelled = int(labels.max(initial=0)) + 1
    made_by = "python -m pipeline cluster"
    recorded = len(read_record(facts, _Clustering, made_by).clusters) if facts is not None else data.clusters
    if recorded != data.clusters or labelled > data.clusters:
        raise InputError(
            f"data.clusters: {data.clusters}, but the stage cluster made {max(recorded, labelled)} ({clusters}); "
            "run it again, or set data.clusters as it was"
        )


def _drawing_order(ids: list[str], seed: int) -> np.ndarray:
    """Rank of each row in the seeded order, (N,) int64."""
    hashes = np.array([seeded_hash(identity, seed) for identity in ids], dtype=np.uint64)
    ranks = np.empty(len(ids), dtype=np.int64)
    ranks[np.argsort(hashes, kind="stable")] = np.arange(len(ids))
    return ranks


def _audit_rows(table: pa.Table, vectors: np.ndarray | None) -> AuditRows:
    groups, outputs = (table[name].fill_null("").to_pylist() for name in ("group", "output"))
    return AuditRows(groups, _templates(table), prompts_of(table), outputs, vectors)


def _templates(table: pa.Table) -> list[str]:
    return table["template_name"].fill_null("").to_pylist()


def draw_pool(table: pa.Table, audit: Audit, order: np.ndarray, data: DataConfig) -> Pool:
    """The test pool, stratified by template: one row per content group, none with more than `max_twins` twins.

    Raises:
        InputError: fewer content groups than pool rows.
    """
    groups = np.unique(np.array(table["group"].to_pylist()), return_inverse=True)[1]
    templates = _templates(table)
    sizes = Counter(templates)
    quotas = fill(largest_remainder(sizes, data.test_pool), sizes)
    waiting: defaultdict[str, list[int]] = defaultdict(list)
    for row in np.argsort(-order).tolist():  # the last of each list is the next to be drawn
        waiting[templates[row]].append(row)
    pool = Pool([], np.zeros(len(groups), dtype=bool))
    while len(pool.rows) < data.test_pool and any(waiting.values()):
        short = {template: quotas[template] for template in waiting if quotas[template] and waiting[template]}
        if not short:  # the templates with a quota are used up: the others make up for them
            rest = {template: len(rows) for template, rows in waiting.items()}
            quotas = fill(largest_remainder(rest, data.test_pool - len(pool.rows)), rest)
            continue
        batch = [
            waiting[template].pop()
            for template, count in short.items()
            for _ in range(min(count, len(waiting[template])))
        ]
        for row in _admit(batch, pool, groups, audit, data.leakage.max_twins):
            quotas[templates[row]] -= 1
    if len(pool.rows) < data.test_pool:
        raise InputError(
            f"data.test_pool: {data.test_pool} rows of different content are asked for, but the {len(groups):,} "
            f"candidates hold {len(pool.rows)} that have no more than data.leakage.max_twins = "
            f"{data.leakage.max_twins} twins; lower data.test_pool, or raise data.sample_fraction"
        )
    return pool


def _admit(batch: list[int], pool: Pool, groups: np.ndarray, audit: Audit, max_twins: int) -> list[int]:
    """Take the rows of the batch that may stand in the pool into it; bar their groups and twins from training."""
    fresh = [row for row in batch if not pool.barred[row]]
    elsewhere: defaultdict[int, list[Leak]] = defaultdict(list)
    for leak in audit.leaks(np.array(fresh, dtype=np.int64), np.arange(len(groups))):
        if groups[leak.held] != groups[leak.other]:
            elsewhere[leak.held].append(leak)
    taken = []
    for row in fresh:
        if pool.barred[row]:
            continue
        twins = {leak.other for leak in elsewhere[row]}
        if len(twins) > max_twins:
            pool.replaced.append(elsewhere[row][0])
            continue
        taken.append(row)
        group = np.flatnonzero(groups == groups[row])
        pool.siblings += [Leak("content_group", row, other) for other in group.tolist() if other != row]
        pool.barred[group] = True
        pool.barred[list(twins)] = True
        pool.twins += elsewhere[row]
    pool.rows += taken
    return taken


def _stratified(rows: np.ndarray, templates: list[str], size: int) -> np.ndarray:
    """The first `size` of `rows` (in their order), stratified by template with exact total."""
    members: defaultdict[str, list[int]] = defaultdict(list)
    for row in rows.tolist():
        members[templates[row]].append(row)
    quotas = largest_remainder({template: len(own) for template, own in members.items()}, size)
    return np.array([row for template, own in members.items() for row in own[: quotas[template]]], dtype=np.int64)


def _draw_clusters(
    labels: np.ndarray, barred: np.ndarray, order: np.ndarray, data: DataConfig
) -> tuple[np.ndarray, dict[str, Any]]:
    """The rows of training and validation: each cluster's quota, topped up from the others where it is short."""
    wanted = data.per_cluster * data.clusters
    sizes = {number: int((labels == number).sum()) for number in range(data.clusters)}
    capacities = {number: int(((labels == number) & ~barred).sum()) for number in range(data.clusters)}
    weights = {"equal": dict.fromkeys(sizes, 1), "proportional": sizes}
    weights["sqrt"] = {number: isqrt(1_000_000 * size) for number, size in sizes.items()}
    quotas = largest_remainder(weights[data.quota], wanted)
    if sum(capacities.values()) < wanted:
        raise InputError(
            f"data.per_cluster: {data.per_cluster} x {data.clusters} clusters are {wanted:,} rows, but only "
            f"{sum(capacities.values()):,} of {len(labels):,} candidates are left beside the test pool of "
            f"{data.test_pool} and the rows that share its content; lower it, or raise data.sample_fraction"
        )
    taken = fill(quotas, capacities)
    by_order = np.argsort(order)
    usable = by_order[~barred[by_order]]
    drawn = [usable[labels[usable] == number][: taken[number]] for number in range(data.clusters)]
    facts = {
        "rule": data.quota,
        "clusters": [
            {
                "cluster": number,
                "rows": sizes[number],
                "available": capacities[number],
                "quota": quotas[number],
                "taken": taken[number],
                "topped_up": max(0, taken[number] - quotas[number]),
            }
            for number in range(data.clusters)
        ],
        "topped_up": sum(max(0, taken[number] - quotas[number]) for number in taken),
    }
    return np.sort(np.concatenate(drawn)), facts


def _draw_validation(audit: Audit, drawn: np.ndarray, order: np.ndarray, data: DataConfig) -> np.ndarray:
    """Whole families, in the seeded order, until the validation set has its exact size."""
    size = max(1, int(data.validation_fraction * len(drawn) + 0.5))
    families: defaultdict[int, list[int]] = defaultdict(list)
    for row, label in zip(drawn.tolist(), audit.families(drawn).tolist(), strict=True):
        families[label].append(row)
    limit = max(1, int(VALIDATION_FAMILY * size))
    chosen: list[int] = []
    for members in sorted(families.values(), key=lambda rows: min(order[row] for row in rows)):
        if len(members) <= min(limit, size - len(chosen)):
            chosen += members
    if len(chosen) < size:
        raise InputError(
            f"data.validation_fraction: {data.validation_fraction} of {len(drawn):,} rows is {size}, but only "
            f"{len(chosen)} can be set apart without sharing content with training; lower it, or raise "
            "data.sample_fraction"
        )
    return np.sort(np.array(chosen, dtype=np.int64))


def _final_audit(
    table: pa.Table, vectors: np.ndarray, sides: dict[str, np.ndarray], data: DataConfig
) -> dict[str, dict[str, int]]:
    """Audit the three sides from scratch; raises LeakageError when anything is found."""
    rows = np.concatenate(list(sides.values()))
    ends = np.cumsum([len(side) for side in sides.values()])
    train, validation, test = np.split(np.arange(len(rows)), ends[:-1])
    audit = Audit(_audit_rows(table.take(pa.array(rows)), vectors[rows] if data.leakage.cosine else None), data.leakage)
    leaks_of = {
        "test": audit.leaks(test, np.concatenate([train, validation])),
        "validation": audit.leaks(validation, train),
    }
    for side, leaks in leaks_of.items():
        if leaks:
            ids = table["id"]
            shown = [f"{leak.kind}: {ids[rows[leak.held]]} and {ids[rows[leak.other]]}" for leak in leaks[:5]]
            raise LeakageError(f"{side}: the audit found {len(leaks)} leaks: {'; '.join(shown)}")
    return {side: count_leaky(leaks) for side, leaks in leaks_of.items()}


def _row_disjoint(audit: Audit, table: pa.Table, order: np.ndarray, data: DataConfig) -> dict[str, int]:
    """Leaky test rows, per class, of a split of the same sizes that is disjoint by row only."""
    free = np.zeros(len(order), dtype=bool)
    drawn, _ = _draw_clusters(table["cluster"].to_numpy(), free, order, data)
    rest = np.setdiff1d(np.arange(len(order)), drawn)
    rest = rest[np.argsort(order[rest])]
    size = min(data.test_size, len(rest))
    return count_leaky(audit.leaks(_stratified(rest, _templates(table), size), drawn)) | {"rows": size}


def _facts(
    table: pa.Table,
    sides: dict[str, np.ndarray],
    pool: Pool,
    quota: dict[str, Any],
    before: dict[str, int],
    after: dict[str, dict[str, int]],
    data: DataConfig,
) -> dict[str, Any]:
    removed = [("test", leak.held, leak.other, leak) for leak in pool.replaced]
    removed += [("training", leak.other, leak.held, leak) for leak in [*pool.twins, *pool.siblings]]
    return {
        "thresholds": data.leakage.model_dump(),
        "before": {"row_disjoint_test": before},
        "after": after,
        "rows": {name: len(rows) for name, rows in sides.items()},
        "groups": {name: len(set(table["group"].take(pa.array(rows)).to_pylist())) for name, rows in sides.items()},
        "pool": {
            "rows": len(pool.rows),
            "replaced": len(pool.replaced),
            "barred_from_training": int(pool.barred.sum()),
            "barred_twins": len({leak.other for leak in pool.twins}),
        },
        "quota": quota,
        "subsets": {name: _counts(table, rows, "subset_name") for name, rows in sides.items()},
        "templates": {name: _counts(table, rows, "template_name") for name, rows in sides.items()},
        "validation_by_cluster": _counts(table, sides["validation"], "cluster"),
        "removed": [
            {"from": side, "class": leak.kind, "value": round(leak.value, 4), **_named(table, row, twin)}
            for side, row, twin, leak in removed
        ],
    }


def _named(table: pa.Table, row: int, twin: int) -> dict[str, str]:
    names = {"id": table["id"][row].as_py(), "twin": table["id"][twin].as_py()}
    texts = {f"{name}_output": table["output"][place].as_py()[:TEXT] for name, place in (("row", row), ("twin", twin))}
    return {**names, **texts}


def _counts(table: pa.Table, rows: np.ndarray, column: str) -> dict[str, int]:
    counted = Counter(str(value) for value in table[column].take(pa.array(rows)).to_pylist())
    return dict(sorted(counted.items()))


def _print(facts: dict[str, Any]) -> None:
    from rich.table import Table

    before = facts["before"]["row_disjoint_test"]
    pool = facts["pool"]
    title = f"leaky rows ({pool['replaced']} pool rows replaced, {pool['barred_twins']} twins barred from training)"
    shown = Table(title=title)
    for name in ("class", f"row-disjoint test of {before['rows']}", "test", "validation"):
        shown.add_column(name, justify="left" if name == "class" else "right")
    for kind in facts["after"]["test"]:
        shown.add_row(kind, str(before[kind]), *(str(facts["after"][side][kind]) for side in ("test", "validation")))
    print_table(shown)
