"""The commands: help without heavy imports, and one line and exit status 2 for a user's mistake."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from llada.sampling.settings import SamplerConfig
from tests.support.command_line import PLAIN, run_here
from tests.support.imports import REPOSITORY, STAGES

BESIDE_THE_STAGES = [
    "preview",
    "sweep",
    "seeds",
    "reversal",
    "tasks",
    "safety",
    "plan",
    "status",
    "merge",
    "gguf",
    "push",
    "judge",
    "opinion",
]
COMMANDS = [name for name in STAGES if name != "train"]
TALKING = ["chat", "demo", "serve"]
HEAVY = ("torch", "transformers", "peft", "daft", "sklearn", "matplotlib", "numpy", "pandas", "gradio", "starlette")


def run_apart(*arguments: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: each way to start a command once, and what only a new process shows."""
    # The launcher's module is copied when the package is installed; meant is the one here.
    path = os.pathsep.join(map(str, (REPOSITORY, REPOSITORY / "pipeline" / "launcher")))
    environment = os.environ | PLAIN | {"PYTHONPATH": path}
    return subprocess.run(
        [sys.executable, *arguments], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )


def assert_one_fault(result: subprocess.CompletedProcess[str], *words: str) -> None:
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    [line] = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    for word in words:
        assert word in line


@pytest.mark.parametrize("command", [*COMMANDS, *BESIDE_THE_STAGES, *TALKING])
def test_help_names_the_common_options(command: str) -> None:
    result = run_here("-m", "pipeline", command, "--help")
    assert result.returncode == 0
    for option in ("--profile", "--set", "--artifacts"):
        assert option in result.stdout


def test_help_loads_nothing_heavy() -> None:
    program = "import sys, pipeline.application, pipeline.commands.train; print(*sys.modules)"
    loaded = run_apart("-c", program).stdout.split()
    assert "typer" in loaded
    assert not set(HEAVY) & set(loaded)


def test_loading_a_profile_needs_no_torch() -> None:
    program = "import sys; from pipeline.profile import load_profile; load_profile('mini'); print(*sys.modules)"
    loaded = run_apart("-c", program).stdout.split()
    assert "pipeline.profile" in loaded
    assert not set(HEAVY) & set(loaded)


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in ("inputs", "evaluate")])
def test_a_stage_too_early_says_which_command_to_run(command: str, tmp_path: Path) -> None:
    result = run_here("-m", "pipeline", command, "--artifacts", str(tmp_path))
    assert_one_fault(result, str(tmp_path), "run `python -m pipeline", f"--artifacts {tmp_path}")


def test_a_command_ends_a_process_as_it_ends_here(tmp_path: Path) -> None:
    early = ("-m", "pipeline", "select", "--artifacts", str(tmp_path))
    apart, here = run_apart(*early), run_here(*early)
    assert_one_fault(apart, str(tmp_path), "run `python -m pipeline inputs")
    assert (apart.returncode, apart.stdout, apart.stderr) == (here.returncode, here.stdout, here.stderr)


def test_evaluate_too_early_says_which_command_to_run(tmp_path: Path) -> None:
    result = run_here("-m", "pipeline", "evaluate", "--method", "lora", "--artifacts", str(tmp_path))
    assert_one_fault(result, "accelerate launch train_adapter.py --method lora")


def test_training_too_early_says_which_command_to_run(tmp_path: Path) -> None:
    """With the launcher the same: below, and there in a process of its own."""
    result = run_here("train_adapter.py", "--method", "pissa", "--artifacts", str(tmp_path))
    assert_one_fault(result, "python -m pipeline inputs")


def test_accelerate_launch_passes_the_exit_status_on(tmp_path: Path) -> None:
    launch = ["-m", "accelerate.commands.accelerate_cli", "launch", "train_adapter.py"]
    result = run_apart(*launch, "--method", "pissa", "--artifacts", str(tmp_path))
    assert_one_fault(result, "python -m pipeline inputs")
    assert len(result.stderr.splitlines()) == 1, "the launcher's notice about its defaults is dropped"


def test_a_sweep_in_several_processes_is_refused_at_once() -> None:
    """Its second training would fail: the process group ended with the first."""
    config = ["--config_file", "configs/accelerate/ddp-cpu.yaml", "--main_process_port", "0"]
    result = run_apart("-m", "accelerate.commands.accelerate_cli", "launch", *config, "-m", "pipeline", "sweep")
    assert_one_fault(result, "sweep runs in one process", "a group of 2", "`python -m pipeline sweep`")


def test_an_unknown_method_is_named() -> None:
    assert_one_fault(
        run_here("train_adapter.py", "--method", "lorra"), "'lorra' is not a method", "lora, loraplus, pissa"
    )
    for methods in ("lorra", "base,lorra"):  # before the base is measured
        assert_one_fault(run_here("-m", "pipeline", "evaluate", "--method", methods), "'lorra' is not a method")


def test_a_fault_of_the_configuration_is_one_line_each() -> None:
    result = run_here("-m", "pipeline", "select", "--set", "data.clustres=3", "--set", "train.epochs=0")
    assert result.returncode == 2
    lines = result.stderr.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("error: ") for line in lines)


@pytest.mark.parametrize(
    ("option", "value"),
    [("--learning-rates", "1e-4,x"), ("--learning-rates", "0"), ("--seeds", "1,-1"), ("--methods", "")],
)
def test_sweep_names_the_list_that_is_wrong(option: str, value: str) -> None:
    assert_one_fault(run_here("-m", "pipeline", "sweep", option, value), option, value)


def test_seeds_names_what_is_wrong_before_it_trains(tmp_path: Path) -> None:
    assert_one_fault(run_here("-m", "pipeline", "seeds", "--seeds", "1,-1"), "--seeds", "1,-1")
    unknown = ["--seeds", "2", "--methods", "lora,vera", "--artifacts", str(tmp_path)]
    assert_one_fault(run_here("-m", "pipeline", "seeds", *unknown), "'vera' is not a method")
    early = ["--seeds", "2", "--artifacts", str(tmp_path)]
    assert_one_fault(run_here("-m", "pipeline", "seeds", *early), f"python -m pipeline format --artifacts {tmp_path}")


def test_an_adapter_of_another_seed_says_how_it_is_trained(tmp_path: Path) -> None:
    asked = ["--method", "base,lora-seed2", "--artifacts", str(tmp_path)]
    assert_one_fault(run_here("-m", "pipeline", "evaluate", *asked), "python -m pipeline inputs")
    assert_one_fault(
        run_here("-m", "pipeline", "evaluate", *asked[:1], "lora-seed2", *asked[2:]), "--method lora-seed2"
    )
    assert_one_fault(
        run_here("train_adapter.py", "--method", "lora-seed42"), "42 is the profile's own seed; write lora"
    )


def test_sweep_refuses_an_unknown_method(tmp_path: Path) -> None:
    result = run_here("-m", "pipeline", "sweep", "--methods", "lora,vera", "--artifacts", str(tmp_path))
    assert_one_fault(result, "vera", "loraplus_pissa")


@pytest.mark.parametrize("command", TALKING)
def test_talking_takes_every_setting_of_the_sampler_as_a_flag(command: str) -> None:
    shown = run_here("-m", "pipeline", command, "--help").stdout
    for field in dataclasses.fields(SamplerConfig):
        assert f"--{field.name.replace('_', '-')}" in shown.replace(",", " ").split()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--method", "lorra"], "'lorra' is not a method"),
        (["--method", "lora", "--compare", "base,vera"], "'vera' is not a method"),
        (["--method", "lora", "--rule", "best"], "rule is 'best', allowed: quota, threshold"),
        (["--method", "lora", "--steps", "31"], "steps is 31, allowed with the rule quota"),
        (["--method", "lora"], "accelerate launch train_adapter.py --method lora"),
        (["--method", "base"], "python -m pipeline inputs"),
    ],
)
def test_chat_says_what_is_wrong_before_it_loads_anything(arguments: list[str], words: str, tmp_path: Path) -> None:
    asked = ["--artifacts", str(tmp_path), "--prompt", "Halo!"]
    assert_one_fault(run_here("-m", "pipeline", "chat", *arguments, *asked), words)


def test_plan_needs_no_artefacts(tmp_path: Path) -> None:
    result = run_here("-m", "pipeline", "plan", "--artifacts", str(tmp_path / "none"), "--json")
    assert result.returncode == 0, result.stderr
    plan = json.loads(result.stdout)
    assert plan["fits"] is True
    assert "assumed" in plan["rows"]["source"]
    assert not (tmp_path / "none").exists()


def test_plan_names_a_base_whose_shape_nobody_knows(tmp_path: Path) -> None:
    result = run_here("-m", "pipeline", "plan", "--set", "model.base=some/base", "--artifacts", str(tmp_path))
    assert_one_fault(result, "model.base: some/base", "python -m pipeline inputs")


def test_status_of_nothing_begins_with_the_first_stage(tmp_path: Path) -> None:
    result = run_here("-m", "pipeline", "status", "--artifacts", str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert f"next: python -m pipeline inputs --artifacts {tmp_path}" in result.stdout


@pytest.mark.parametrize(
    "arguments",
    [("merge", "--output", "merged"), ("gguf", "--output", "a.gguf"), ("push", "--repo", "me/mine", "--dry-run")],
)
def test_sharing_needs_a_trained_adapter(arguments: tuple[str, ...], tmp_path: Path) -> None:
    result = run_here("-m", "pipeline", *arguments, "--method", "lora", "--artifacts", str(tmp_path))
    assert_one_fault(result, "accelerate launch train_adapter.py --method lora")
    result = run_here("-m", "pipeline", *arguments, "--method", "lorra", "--artifacts", str(tmp_path))
    assert_one_fault(result, "'lorra' is not a method")


def test_merge_refuses_a_quantised_profile(tmp_path: Path) -> None:
    adapter = tmp_path / "adapters" / "lora"
    adapter.mkdir(parents=True)
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (adapter / name).touch()
    quantised = ("--set", "model.quantization=nf4", "--artifacts", str(tmp_path))
    result = run_here("-m", "pipeline", "merge", "--method", "lora", "--output", str(tmp_path / "merged"), *quantised)
    assert_one_fault(result, "model.quantization: nf4", "merge into the unquantised base")
