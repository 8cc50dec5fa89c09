"""Stage `report`: everything that was evaluated, compared on one page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from adapters.lineage import RETRAIN
from adapters.naming import AdapterName
from common import seals
from common.errors import InputError
from common.files import read_json
from common.systems import BASES, is_twin
from eval.report.write import write_report
from pipeline.paths import TWIN_SPLITS, Paths, command_for, require
from pipeline.provenance import provenance

if TYPE_CHECKING:
    from pipeline.profile import Profile


def run(profile: Profile, paths: Paths) -> None:
    """Compare everything that was evaluated, on one page."""
    names = [*BASES, *profile.methods, *_other_seeds(profile, paths)]
    evaluated = [name for name in names if (paths.evaluation(name) / "metrics.json").exists()]
    require(paths.evaluation("base") / "metrics.json", "evaluate --method base", paths)
    check_evaluations(paths, evaluated)
    systems = [name for name in evaluated if not is_twin(name)]
    # Run by hand, no outputs of a stage.
    sweep, scaling = paths.sweep / "sweep.json", paths.scaling / "scale.json"
    reversal = paths.reversal / "reversal.json"
    headline = write_report(
        profile.evaluation,
        profile_name=profile.name,
        evaluations={system: paths.evaluation(system) for system in systems},
        adapters={system: paths.adapter(system) for system in evaluated if system not in BASES},
        cluster_facts=require(paths.cluster_facts, "cluster", paths),
        umap_points=require(paths.umap_points, "cluster", paths),
        umap_picture=require(paths.umap_picture, "cluster", paths),
        select_facts=require(paths.select_facts, "select", paths),
        leakage_facts=require(paths.leakage_facts, "split", paths),
        format_facts=require(paths.format_facts, "format", paths),
        splits=require(paths.splits, "split", paths),
        provenance=provenance(profile) | {"inputs": _inputs(paths)},
        output=paths.report,
        sweep=sweep if sweep.exists() else None,
        scaling=scaling if scaling.exists() else None,
        reversal=reversal if reversal.exists() else None,
        tasks={system: paths.tasks(system) for system in systems},
        safety={system: paths.safety(system) for system in systems},
        language=profile.language,
        twins={name: paths.evaluation(name) for name in evaluated if is_twin(name)},
    )
    print(f"{headline}\n{paths.report / 'index.html'}")


def _inputs(paths: Paths) -> Any:
    """inputs.json without the hashes of its files, which would fill a page."""
    facts = read_json(paths.inputs_facts, command_for("inputs", paths))
    return {key: value for key, value in facts.items() if key != "files"} if isinstance(facts, dict) else facts


def check_evaluations(paths: Paths, systems: Sequence[str]) -> None:
    """Raises InputError where a system's evaluation or its adapter is not what was written or does not say so, or where
    it was measured on another test split than `format` has written since.
    """
    formatted = require(paths.format_facts, "format", paths)
    wrote = seals.recorded_in(formatted, command_for("format", paths)).wrote
    for system in systems:
        name = next(
            (key for key in wrote if key.endswith("/test.parquet") and (f"/{TWIN_SPLITS}/" in key) == is_twin(system)),
            "test.parquet",
        )
        stage, trained = f"evaluate --method {system}", paths.adapter(system)
        command, facts = command_for(stage, paths), require(paths.evaluation(system) / "accounting.json", stage, paths)
        made = [(facts, paths.evaluation(system), command)]
        if system not in BASES and (trained / "run.json").is_file():  # an adapter may be gone, or of another program
            made.append((trained / "run.json", trained, RETRAIN))
        for written, folder, made_by in made:
            if not seals.recorded_in(written, made_by).wrote:
                raise InputError(f"{written}: holds no hash of what it tells of; run `{made_by}` again")
            seals.check(written, folder, made_by)
        measured = read_json(facts, command).get("measured")
        if not isinstance(measured, dict) or measured.get("test_sha256") != wrote.get(name):
            raise InputError(
                f"{paths.evaluation(system)}: measured on another {name} than is there now; run `{command}`"
            )


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
