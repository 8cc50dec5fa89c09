"""dvc.yaml says exactly what the code does: every stage's imports, artefacts and settings are read from the code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from data_prep.config import DataConfig
from pipeline.paths import Paths
from pipeline.profile import Profile
from tests.support.imports import (
    LAZY_FACES,
    PACKAGES,
    REPOSITORY,
    STAGES,
    attributes_of,
    code_dependencies,
    data_settings,
    imported_files,
    imports,
    names_in,
    stage_file,
    tree_of,
)

GRAPH = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text(encoding="utf-8"))
PARAMS = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
PATHS = Paths.of("mini")
WATCHED = "${watch}"  # what a user's profile reads from this machine, by params.yaml


def stage(name: str) -> dict[str, Any]:
    definition = GRAPH["stages"][name]
    return definition.get("do", definition)


def is_artefact(path: str) -> bool:
    return path.startswith(("artifacts/", "reports/"))


def resolved(path: str) -> str:
    """A path of dvc.yaml as the code names it: per-system folders by their parent."""
    path = path.replace("${profile}", "mini").replace("artifacts/mini/${item.needs}", "artifacts/mini/adapters")
    for parent in ("artifacts/mini/adapters", "artifacts/mini/evaluation", "reports/mini"):
        if path.startswith(parent):
            return parent
    return path


def artefacts_in_code(name: str) -> set[str]:
    """Every artefact that the stage's file names, whether the stage reads or writes it."""
    used = attributes_of(stage_file(name), "paths") - {
        "scratch",
        "root",
        "scaling",
        "reversal",
        "sweep",
        "tasks",
        "safety",
    }  # all but the first two are run by hand
    if "read_inputs" in names_in(stage_file(name)):
        used |= {"inputs_facts", "inputs"}
    per_system = {"adapter": "artifacts/mini/adapters", "evaluation": "artifacts/mini/evaluation"}
    return {per_system.get(attribute) or str(getattr(PATHS, attribute)) for attribute in used}


def declared_code(name: str) -> list[str]:
    """Folders and files of ours that dvc.yaml names for the stage."""
    return [path for path in stage(name)["deps"] if not is_artefact(path) and path != WATCHED]


def lies_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


@pytest.mark.parametrize("name", STAGES)
def test_what_a_stage_imports_lies_in_the_folders_it_declares(name: str) -> None:
    declared = declared_code(name)
    outside = {path for path in code_dependencies(name) if not any(lies_in(path, folder) for folder in declared)}
    assert not outside


@pytest.mark.parametrize("name", STAGES)
def test_no_declared_folder_is_idle(name: str) -> None:
    used = code_dependencies(name)
    assert not {folder for folder in declared_code(name) if not any(lies_in(path, folder) for path in used)}


@pytest.mark.parametrize(
    ("edited", "stale"),
    [
        ("chat/terminal.py", set()),
        ("release/merge.py", set()),
        ("pipeline/commands/chat.py", set()),
        ("pipeline/commands/status.py", set()),
        ("experiments/sweep.py", set()),
        ("experiments/reversal/pairs.py", set()),
        ("causal/loss.py", {"train", "evaluate"}),
        ("eval/judge.py", set()),
        ("llada/auto_classes.py", set()),
        ("eval/report/verdict.py", {"report"}),
        ("eval/report/templates/index.html.j2", {"report"}),
        ("training/trainer.py", {"train"}),
        ("data_prep/split/leakage.py", {"split"}),
        ("llada/diffusion/noise.py", {"inputs", "train", "evaluate"}),
        ("llada/sampling/engine.py", {"evaluate"}),
    ],
)
def test_an_edit_makes_stale_what_depends_on_it_and_nothing_else(edited: str, stale: set[str]) -> None:
    assert (REPOSITORY / edited).is_file()
    assert {name for name in STAGES if any(lies_in(edited, folder) for folder in declared_code(name))} == stale


def test_data_stages_do_not_import_each_other() -> None:
    """But for `inputs`, which makes the bundled default; shared ground is `data_prep/rows` and its configuration."""
    rooms = {"inputs", "bundled", "select", "embed", "cluster", "split", "format"}
    for room in rooms:
        files = set[str]()
        for path in (REPOSITORY / "data_prep" / room).glob("*.py"):
            files |= {
                str(one.relative_to(REPOSITORY / "data_prep"))
                for one in imported_files(path)
                if "data_prep" in one.parts
            }
        reached = {name.split("/")[1] for name in files if name.startswith("data_prep/")} & rooms
        assert reached <= {room} | ({"bundled"} if room == "inputs" else set()), room


def test_nothing_of_ours_goes_through_a_lazy_face() -> None:
    """`from llada import X` is for users: a stage's dependencies are read from imports, which lazy names would hide."""
    for path in [file for package in PACKAGES for file in (REPOSITORY / package).rglob("*.py")]:
        if path.name == "__init__.py":
            continue
        for name in imports(tree_of(path).body):
            package, _, rest = name.partition(".")
            lazy = package in LAZY_FACES and rest and not (REPOSITORY / package / f"{rest.split('.')[0]}.py").is_file()
            assert not (lazy and not (REPOSITORY / package / rest.split(".")[0]).is_dir()), f"{path}: {name}"


@pytest.mark.parametrize("name", STAGES)
def test_artefacts_are_exactly_those_the_stage_names(name: str) -> None:
    definition = stage(name)
    metrics = definition.get("metrics", [])
    declared = {resolved(path) for path in [*definition["deps"], *definition["outs"], *metrics] if is_artefact(path)}
    assert declared == artefacts_in_code(name)


@pytest.mark.parametrize("name", STAGES)
def test_settings_are_exactly_those_the_stage_reads(name: str) -> None:
    [declared] = [keys for entry in stage(name)["params"] for keys in entry.values()]
    expected: set[str] = set()
    for section in attributes_of(stage_file(name), "profile"):
        if section == "data":
            expected |= {f"data.{key}" for key in data_settings(name, DataConfig.model_fields)}
        elif section == "method":
            # `evaluate` asks only whether the method is in the profile; its settings reach it through the adapter.
            expected |= {"methods.${item.method}"} if name == "train" else set()
        elif section in ("name", "methods"):
            continue  # a renamed profile has other artefacts; the report's systems are those that were evaluated
        elif name == "inputs" and section == "model":
            expected |= {"model.base", "model.revision"}
        else:
            expected.add(section)
    assert set(declared) == expected


def test_every_setting_of_the_data_section_reaches_a_stage() -> None:
    reached = set[str]().union(*(data_settings(name, DataConfig.model_fields) for name in STAGES))
    assert reached == set(DataConfig.model_fields)


def test_every_artefact_read_is_written_by_an_earlier_stage() -> None:
    written: set[str] = set()
    for name in STAGES:
        definition = stage(name)
        for path in filter(is_artefact, definition["deps"]):
            assert resolved(path) in written, f"{name} reads {path}, which no stage before it writes"
        written |= {resolved(path) for path in [*definition["outs"], *definition.get("metrics", [])]}


def test_systems_are_the_base_and_every_method() -> None:
    assert list(PARAMS["systems"]) == ["base", *PARAMS["methods"]]
    for method in PARAMS["methods"]:
        assert PARAMS["systems"][method]["needs"] == f"adapters/{method}"


def test_no_command_fixes_the_number_of_processes() -> None:
    # `cmd` is hashed by DVC: the number of processes must not decide whether an adapter is up to date.
    for name in STAGES:
        assert "num_processes" not in stage(name)["cmd"]


def test_every_section_of_the_profile_is_read_by_a_stage() -> None:
    read = set[str]().union(*(attributes_of(stage_file(name), "profile") for name in STAGES))
    assert set(Profile.model_fields) - {"methods", "name"} <= read


def test_every_dependency_exists() -> None:
    for name in STAGES:
        for path in stage(name)["deps"]:
            place = path.replace(WATCHED, PARAMS["watch"])
            assert is_artefact(path) or Path(REPOSITORY / place).exists(), path


@pytest.mark.parametrize("profile", sorted(path.stem for path in (REPOSITORY / "configs").glob("*.yaml")))
def test_every_profile_spells_out_every_setting_of_the_graph(profile: str) -> None:
    # DVC compares values in the file and refuses keys that are not there; defaults in the code are invisible to it.
    values = yaml.safe_load((REPOSITORY / "configs" / f"{profile}.yaml").read_text(encoding="utf-8"))
    for name in STAGES:
        [keys] = [keys for entry in stage(name)["params"] for keys in entry.values()]
        for key in keys:
            for method in PARAMS["methods"] if "${" in key else [""]:
                section = values
                for part in key.replace("${item.method}", method).split("."):
                    assert part in section, f"{profile}: {key} is missing"
                    section = section[part]
