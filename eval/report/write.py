"""The report stage: one self-contained page on all that was evaluated, one page per adapter, and the same as data.

    index.html         verdict, comparison, curves, data, answers side by side, denoising player, evidence
    <adapter>.html     one adapter in detail
    report.md          verdict and comparison, for a pull request
    metrics/<system>.json
    cards/<adapter>/README.md   the model card, for the adapter's repository on a hub

The pages need no network and no other file: styles, script, pictures and data are inside.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common.errors import InputError, raise_if_unreadable
from common.files import atomic_folder, write_json, write_text
from common.records import as_record
from eval.config import EvaluationConfig
from eval.report.card import model_card
from eval.report.load import check_same_items, read_checked, read_systems
from eval.report.page import AdapterPage, Findings, IndexPage, adapter_page, index_page
from eval.report.paradigms import compare_paradigms
from eval.report.records.by_hand import Sweep
from eval.report.records.made import Inputs, Leakage, Select
from eval.report.records.values import Facts
from eval.report.sections.beside.reversal import Reversal
from eval.report.sections.data import DataFacts
from eval.report.sections.parts.scaling import Scaling
from eval.report.templates.environment import environment
from eval.report.verdict import compare_all, verdict

SPLITS = ("train", "validation", "test")


def write_report(
    evaluation: EvaluationConfig,
    *,
    profile_name: str,
    evaluations: dict[str, Path],
    adapters: dict[str, Path],
    cluster_facts: Path,
    umap_points: Path,
    umap_picture: Path,
    select_facts: Path,
    leakage_facts: Path,
    format_facts: Path,
    splits: Path,
    provenance: dict[str, Any],
    output: Path,
    sweep: Path | None = None,
    scaling: Path | None = None,
    reversal: Path | None = None,
    tasks: dict[str, Path] | None = None,
    safety: dict[str, Path] | None = None,
    language: str = "en",
    twins: dict[str, Path] | None = None,
) -> str:
    """Compare all systems of `evaluations` (name -> folder of the evaluate stage) and write `output`.

    Args:
        adapters: name -> adapter folder, for the systems that have one.
        sweep: the sweep.json of a matched sweep, where one was run. scaling: the scale.json of a scaling study.
        reversal: the reversal.json of pairs that were taught one way and asked both.
        tasks: name -> folder of the public suites that were measured by hand. safety: that of refusals.
        language: of the pages' frame as they open, `en` or `id`; a switch on each page changes it.
        twins: name -> folder of the evaluate stage, of the autoregressive twin's systems.
        provenance: commit, versions, seed, command, settings and inputs, shown as they are.

    Returns:
        The verdict's headline.

    Raises:
        InputError: an evaluation is missing, damaged, or was made on other test items.
    """
    as_record(Path("inputs.json"), provenance.get("inputs", {}), Inputs, "python -m pipeline inputs")
    systems = read_systems(evaluations, adapters, tasks, safety)
    seed = int(systems[0].metrics["settings"]["seed"])
    comparisons = compare_all(systems, evaluation, seed=seed)
    opposite = read_systems(twins, adapters) if twins else []
    check_same_items(systems, opposite)
    findings = Findings(
        profile_name,
        systems,
        comparisons,
        verdict(systems, comparisons),
        DataFacts(
            select=read_checked(select_facts, Select, "python -m pipeline select"),
            clusters=read_checked(cluster_facts, Facts, "python -m pipeline cluster"),
            leakage=read_checked(leakage_facts, Leakage, "python -m pipeline split"),
            formatted=read_checked(format_facts, Facts, "python -m pipeline format"),
            split_sizes=split_sizes(splits),
            points=read_points(umap_points),
            picture=data_uri(umap_picture),
        ),
        provenance,
        read_checked(sweep, Sweep, "python -m pipeline sweep") if sweep else None,
        read_checked(scaling, Scaling, "python -m pipeline scale") if scaling else None,
        read_checked(reversal, Reversal, "python -m pipeline reversal") if reversal else None,
        evaluation.permutations,
        language,
        opposite,
        compare_paradigms(systems, opposite, evaluation, seed) if opposite else (),
    )
    index = index_page(findings)
    with atomic_folder(output) as folder:
        write_text(folder / "index.html", render("index.html.j2", index))
        write_text(folder / "report.md", render("report.md.j2", index))
        for training in (training for system in (*systems, *opposite) for training in system.trainings.values()):
            write_json(folder / "metrics" / f"{training.name}.json", training.metrics)
        for system in (system for system in systems if system.name != "base"):
            write_text(folder / f"{system.name}.html", render("adapter.html.j2", adapter_page(findings, system)))
            write_text(folder / "cards" / system.name / "README.md", model_card(findings, system))
    return findings.verdict.headline


def render(template: str, page: IndexPage | AdapterPage) -> str:
    """Render a page; its sections go by the names of its fields. JSON inside scripts cannot end the script element."""
    return environment().get_template(template).render(vars(page))


def split_sizes(splits: Path) -> dict[str, int]:
    import pyarrow.parquet as pq

    paths = {name: splits / f"{name}.parquet" for name in SPLITS}
    with _parquet(splits, "split"):
        return {name: pq.read_metadata(path).num_rows for name, path in paths.items() if path.is_file()}


def read_points(umap_points: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    from eval.report.records.made import Point

    with _parquet(umap_points, "cluster"):
        points = pq.ParquetFile(umap_points).read(columns=list(Point.model_fields)).to_pylist()
    as_record(umap_points, points, list[Point], "python -m pipeline cluster")
    return points


@contextmanager
def _parquet(path: Path, stage: str) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, KeyError, OSError) as error:
        for file in sorted(path.glob("*.parquet")) if path.is_dir() else [path]:
            raise_if_unreadable(file, error)
        reason = " ".join(str(error).split())[:120]
        raise InputError(
            f"{path}: not the parquet that was written ({reason}); run `python -m pipeline {stage}`"
        ) from None


def data_uri(picture: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture.read_bytes()).decode()}"
