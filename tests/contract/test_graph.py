"""dvc.yaml says exactly what the code does: every stage's imports, artefacts and settings are read from the code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from data_prep.config import DataConfig
from pipeline.config import Profile
from pipeline.paths import Paths
from tests.contract.closure import (
    REPOSITORY,
    STAGE_FUNCTIONS,
    attributes_of,
    code_dependencies,
    data_settings,
    stage_function,
)

GRAPH = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text(encoding="utf-8"))
PARAMS = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
PATHS = Paths.of("mini")


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
    """Every artefact that the stage's function names, whether it reads or writes it."""
    function = stage_function(name)
    used = attributes_of(function, "paths") - {"scratch", "root", "sweep"}  # a sweep is run by hand
    if "read_inputs" in {node.id for node in _names(function)}:
        used |= {"inputs_facts", "inputs"}
    per_system = {"adapter": "artifacts/mini/adapters", "evaluation": "artifacts/mini/evaluation"}
    return {per_system.get(attribute) or str(getattr(PATHS, attribute)) for attribute in used}


def _names(function: Any) -> list[Any]:
    import ast

    return [node for node in ast.walk(function) if isinstance(node, ast.Name)]


@pytest.mark.parametrize("name", STAGE_FUNCTIONS)
def test_code_dependencies_are_exactly_the_imports(name: str) -> None:
    declared = {path for path in stage(name)["deps"] if not is_artefact(path)}
    expected = code_dependencies(name)
    assert declared == expected, f"add {sorted(expected - declared)}, remove {sorted(declared - expected)}"


@pytest.mark.parametrize("name", STAGE_FUNCTIONS)
def test_artefacts_are_exactly_those_the_stage_names(name: str) -> None:
    definition = stage(name)
    metrics = definition.get("metrics", [])
    declared = {resolved(path) for path in [*definition["deps"], *definition["outs"], *metrics] if is_artefact(path)}
    assert declared == artefacts_in_code(name)


@pytest.mark.parametrize("name", STAGE_FUNCTIONS)
def test_settings_are_exactly_those_the_stage_reads(name: str) -> None:
    [declared] = [keys for entry in stage(name)["params"] for keys in entry.values()]
    expected: set[str] = set()
    for section in attributes_of(stage_function(name), "profile"):
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
    reached = set[str]().union(*(data_settings(name, DataConfig.model_fields) for name in STAGE_FUNCTIONS))
    assert reached == set(DataConfig.model_fields)


def test_every_artefact_read_is_written_by_an_earlier_stage() -> None:
    written: set[str] = set()
    for name in STAGE_FUNCTIONS:
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
    for name in STAGE_FUNCTIONS:
        assert "num_processes" not in stage(name)["cmd"]


def test_every_section_of_the_profile_is_read_by_a_stage() -> None:
    read = set[str]().union(*(attributes_of(stage_function(name), "profile") for name in STAGE_FUNCTIONS))
    assert set(Profile.model_fields) - {"methods", "name"} <= read


def test_every_dependency_exists() -> None:
    for name in STAGE_FUNCTIONS:
        for path in stage(name)["deps"]:
            assert is_artefact(path) or Path(REPOSITORY / path).exists(), path


@pytest.mark.parametrize("profile", sorted(path.stem for path in (REPOSITORY / "configs").glob("*.yaml")))
def test_every_profile_spells_out_every_setting_of_the_graph(profile: str) -> None:
    # DVC compares values in the file and refuses keys that are not there; defaults in the code are invisible to it.
    values = yaml.safe_load((REPOSITORY / "configs" / f"{profile}.yaml").read_text(encoding="utf-8"))
    for name in STAGE_FUNCTIONS:
        [keys] = [keys for entry in stage(name)["params"] for keys in entry.values()]
        for key in keys:
            for method in PARAMS["methods"] if "${" in key else [""]:
                section = values
                for part in key.replace("${item.method}", method).split("."):
                    assert part in section, f"{profile}: {key} is missing"
                    section = section[part]
