"""Stage `report`: everything that was evaluated, compared on one page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.naming import AdapterName
from common.files import read_json
from eval.report.write import write_report
from pipeline.paths import Paths, require
from pipeline.provenance import provenance

if TYPE_CHECKING:
    from pipeline.profile import Profile


def run(profile: Profile, paths: Paths) -> None:
    """Compare everything that was evaluated, on one page."""
    names = ["base", *profile.methods, *_other_seeds(profile, paths)]
    systems = [name for name in names if (paths.evaluation(name) / "metrics.json").exists()]
    require(paths.evaluation("base") / "metrics.json", "evaluate --method base", paths)
    sweep = paths.sweep / "sweep.json"  # run by hand, hence no output of a stage
    headline = write_report(
        profile.evaluation,
        profile_name=profile.name,
        evaluations={system: paths.evaluation(system) for system in systems},
        adapters={system: paths.adapter(system) for system in systems if system != "base"},
        cluster_facts=require(paths.cluster_facts, "cluster", paths),
        umap_points=require(paths.umap_points, "cluster", paths),
        umap_picture=require(paths.umap_picture, "cluster", paths),
        select_facts=require(paths.select_facts, "select", paths),
        leakage_facts=require(paths.leakage_facts, "split", paths),
        format_facts=require(paths.format_facts, "format", paths),
        splits=require(paths.splits, "split", paths),
        provenance=provenance(profile) | {"inputs": read_json(paths.inputs_facts)},
        output=paths.report,
        sweep=sweep if sweep.exists() else None,
        tasks={system: paths.tasks(system) for system in systems},
    )
    print(f"{headline}\n{paths.report / 'index.html'}")


def _other_seeds(profile: Profile, paths: Paths) -> list[str]:
    """Names of the evaluated adapters of other training seeds, by method and seed."""
    folders = paths.evaluation("base").parent
    evaluated = [AdapterName.parse(folder.name) for folder in folders.iterdir()] if folders.is_dir() else []
    return [
        f"{AdapterName(method, seed)}"
        for method in profile.methods
        for seed in sorted(one.seed for one in evaluated if one.method == method and one.seed is not None)
        if seed != profile.seed
    ]
