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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.files import atomic_folder, read_json, write_json, write_text
from eval.config import EvaluationConfig
from eval.report import page
from eval.report.card import model_card
from eval.report.load import read_systems
from eval.report.verdict import compare_all, verdict

TEMPLATES = Path(__file__).parent / "templates"
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
) -> str:
    """Compare all systems of `evaluations` (name -> folder of the evaluate stage) and write `output`.

    Args:
        adapters: name -> adapter folder, for the systems that have one.
        sweep: the sweep.json of a matched sweep, where one was run.
        provenance: commit, versions, seed, command, settings and inputs, shown as they are.

    Returns:
        The verdict's headline.

    Raises:
        InputError: an evaluation is missing, damaged, or was made on other test items.
    """
    systems = read_systems(evaluations, adapters)
    seed = int(systems[0].metrics["settings"]["seed"])
    comparisons = compare_all(systems, evaluation, seed)
    found = verdict(systems, comparisons)
    data = page.DataFacts(
        select=read_json(select_facts),
        clusters=read_json(cluster_facts),
        leakage=read_json(leakage_facts),
        formatted=read_json(format_facts),
        split_sizes=split_sizes(splits),
        points=read_points(umap_points),
        picture=data_uri(umap_picture),
        sweep=read_json(sweep) if sweep else None,
    )
    context = page.build(profile_name, systems, comparisons, found, data, provenance)
    with atomic_folder(output) as folder:
        write_text(folder / "index.html", render("index.html.j2", context))
        for system in systems:
            for training in system.trainings.values():
                write_json(folder / "metrics" / f"{training.name}.json", training.metrics)
            if system.name != "base":
                own = page.build_adapter(profile_name, system, systems, comparisons, found, provenance)
                write_text(folder / f"{system.name}.html", render("adapter.html.j2", own))
                card = model_card(system, systems, comparisons, found, data, provenance)
                write_text(folder / "cards" / system.name / "README.md", card)
        write_text(folder / "report.md", render("report.md.j2", context))
    return found.headline


def render(template: str, context: Mapping[str, Any]) -> str:
    """Render a template; HTML is escaped, and JSON inside scripts cannot end the script element."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=lambda name: name is not None and name.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # our own files, not data: they go into the page as they are
    environment.globals["stylesheet"] = Markup((TEMPLATES / "report.css").read_text(encoding="utf-8"))
    environment.globals["script"] = Markup((TEMPLATES / "report.js").read_text(encoding="utf-8"))
    return environment.get_template(template).render(context)


def split_sizes(splits: Path) -> dict[str, int]:
    import pyarrow.parquet as pq

    paths = {name: splits / f"{name}.parquet" for name in SPLITS}
    return {name: pq.read_metadata(path).num_rows for name, path in paths.items() if path.is_file()}


def read_points(umap_points: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    return pq.ParquetFile(umap_points).read(columns=["x", "y", "cluster", "subset_name", "text"]).to_pylist()


def data_uri(picture: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture.read_bytes()).decode()}"
