"""How a command ends: the status and one line for what is the user's or the machine's, a traceback for what is ours."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from adapters.naming import AdapterName
from common.errors import InputError
from common.locks import turn
from pipeline.application import app
from pipeline.commands import seeds, train
from pipeline.options import MOST_FAULTS, exit_status, natural, positive, running, taking_turns, values
from pipeline.paths import Paths
from pipeline.profile import load_profile
from tests.support.chain import write_inputs
from tests.support.imports import REPOSITORY


def ended(error: BaseException, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    with pytest.raises(SystemExit) as caught, exit_status():
        raise error
    return int(str(caught.value.code)), capsys.readouterr().err.splitlines()


def test_errors_of_the_machine_are_one_line_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    for number in (errno.ENOSPC, errno.EACCES, errno.ENAMETOOLONG, errno.ENOTDIR, errno.ELOOP):
        status, lines = ended(OSError(number, os.strerror(number), "/data/rows"), capsys)
        assert status == 2
        assert len(lines) == 1
        assert lines[0].startswith("error: ")


def test_so_many_faults_are_told_and_the_rest_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    status, lines = ended(InputError([f"row {number}: wrong" for number in range(500)]), capsys)
    assert status == 2
    assert len(lines) == MOST_FAULTS + 1
    assert lines[-1] == f"error: and {500 - MOST_FAULTS} more"


@pytest.mark.parametrize("error", [KeyError("rows"), ValueError("shapes differ"), ZeroDivisionError()])
def test_a_fault_of_ours_keeps_its_traceback(error: Exception) -> None:
    with pytest.raises(type(error)), exit_status():
        raise error


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], env=environment, capture_output=True, text=True, check=False
    )


def test_sigterm_before_any_handler_ends_with_143() -> None:
    result = run("import os; from pipeline.options import exit_status\nwith exit_status(): os.kill(os.getpid(), 15)")
    assert (result.returncode, result.stderr) == (143, "")
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


NOTICES = """
import os, sys, warnings
from pipeline.options import exit_status
from sacrebleu.metrics import BLEU
from tests.support.small_world import small_model
def use():
    model = small_model()
    warnings.simplefilter("default", append=True)
    BLEU().corpus_score(["Kota itu ramai ."] * 200, [["Kota itu ramai ."] * 200])
    model.is_gradient_checkpointing
if os.fork() == 0:
    use()
    os._exit(0)
os.wait()
print("as we use it", file=sys.stderr)
with exit_status():
    use()
    print("done")
"""


def test_no_notice_of_a_library_appears_in_normal_use() -> None:
    """Answers that end in a full stop behind a space, and the property that peft asks for by its old name."""
    result = run(NOTICES)
    loud, quiet = result.stderr.split("as we use it\n")
    assert (result.returncode, result.stdout, quiet) == (0, "done\n", "")
    assert "detokenize" in loud
    assert "is_gradient_checkpointing" in loud


LAUNCHER = """
import sys, subprocess, os
sys.orig_argv = ["python", "-m", "accelerate.commands.launch", "launch", "train_adapter.py"]
sys.path.insert(0, os.path.join(os.environ["PYTHONPATH"], "pipeline", "launcher"))
sys.modules.pop("accelerate_exit_status", None)  # of the installed one, which did nothing here
import accelerate_exit_status
ending = "import os, signal; signal.signal(2, signal.SIG_DFL); os.kill(os.getpid(), %s)"
child = [sys.executable, "-c", ending]
raise subprocess.CalledProcessError(subprocess.run(child).returncode, child)
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, 1)])
def test_the_launcher_passes_on_that_its_child_was_told_to_stop(number: int, status: int) -> None:
    result = run(LAUNCHER % int(number))
    assert result.returncode == status
    assert ("Traceback" in result.stderr) == (status == 1)


def test_dvc_starts_its_own_python_without_its_environment(tmp_path: Path) -> None:
    """A real run in a folder of its own; another `python` is first on the PATH, or none is there at all."""
    own = Path(sys.executable).parent
    wrong = tmp_path / "bin" / "python"
    wrong.parent.mkdir()
    wrong.write_text("#!/bin/sh\nexit 9\n")
    wrong.chmod(0o755)
    command = "python -c 'import sys; print(sys.executable)' > out"
    for number, path in enumerate((f"{wrong.parent}:/usr/bin:/bin", "/nonexistent:/bin")):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "dvc.yaml").write_text(f'stages: {{a: {{cmd: "{command}", outs: [out]}}}}\n')
        launcher = REPOSITORY / "pipeline" / "launcher"  # before the installed copy
        environment = {**os.environ, "PATH": path, "PYTHONPATH": str(launcher), "DVC_NO_ANALYTICS": "1"}
        for words in (["init", "--no-scm", "-q"], ["repro", "-q"]):
            subprocess.run([sys.executable, str(own / "dvc"), *words], cwd=folder, env=environment, check=True)
        assert Path((folder / "out").read_text().strip()).parent == own


def test_artefacts_in_a_files_place_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", Path("/dev/null")):
        with pytest.raises(SystemExit), running("inputs", "mini", None, place):
            pass
        assert f"--artifacts {place}: not a folder" in capsys.readouterr().err


def test_a_second_run_of_a_stage_waits_or_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.options.turn", lambda path, refusal: turn(path, refusal, patience=0))
    paths = Paths.of("mini", tmp_path)
    with taking_turns("select", paths), taking_turns("embed", paths):
        with pytest.raises(InputError, match="another process runs select"), taking_turns("select", paths):
            pass
        monkeypatch.setenv("RANK", "1")
        with taking_turns("select", paths):  # rank 0 holds the turn for its group
            pass


@pytest.mark.parametrize(
    ("command", "arguments"),
    [("merge", ["--method", "lora", "--output", "merged"]),
     ("gguf", ["--method", "lora", "--output", "a.gguf"]),
     ("judge", ["--method", "base", "--against", "lora", "--by", "judge", "--model", "m"]),
     ("sweep", []), ("seeds", ["--seeds", "2"]), ("train", ["--method", "lora"])],
)  # fmt: skip
def test_commands_that_write_beside_the_stages_take_turns_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, arguments: list[str]
) -> None:
    monkeypatch.setattr("pipeline.options.turn", lambda path, refusal: turn(path, refusal, patience=0))
    program, named = (train.app, []) if command == "train" else (app, [command])
    asked = [*named, *arguments, "--artifacts", str(tmp_path)]
    early = CliRunner().invoke(program, asked)
    turn_of = {"train": "train-lora"}.get(command, command)
    with taking_turns(turn_of, Paths.of("mini", tmp_path)):
        held = CliRunner().invoke(program, asked)
    assert (early.exit_code, held.exit_code) == (2, 2)
    assert "first" in early.stderr or "no such file" in early.stderr
    assert f"{tmp_path}: another process runs {turn_of} on these artefacts" in held.stderr


def test_no_two_processes_train_or_measure_the_same_adapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[str] = []

    @contextmanager
    def watched(stage: str, paths: Paths) -> Iterator[None]:
        held.append(stage)
        yield
        held.remove(stage)

    paths = Paths.of("mini", tmp_path)
    paths.formatted.mkdir()
    (paths.formatted / "test.parquet").touch()
    write_inputs(tmp_path, {})
    seen: list[list[str]] = []
    monkeypatch.setattr(seeds, "taking_turns", watched)
    monkeypatch.setattr("pipeline.stages.train.training_plan", lambda *_: SimpleNamespace(output=tmp_path))
    monkeypatch.setattr("training.plan.is_finished", lambda _: False)
    monkeypatch.setattr("training.trainer.train", lambda _: seen.append([*held]))
    monkeypatch.setattr("eval.measure.evaluate.is_measured", lambda *_, **__: False)
    monkeypatch.setattr("pipeline.stages.evaluate.run", lambda *_: seen.append([*held]))
    seeds.train_and_evaluate(load_profile("mini"), paths, [AdapterName("lora", 2)])
    assert seen == [["train-lora-seed2"], ["evaluate-lora-seed2"]]


def test_no_folder_is_made_for_a_stage_that_comes_too_early(tmp_path: Path) -> None:
    with taking_turns("select", Paths.of("mini", tmp_path / "misspelt")):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["-1", "1.5", "1e3", str(2**32), "9" * 5000, "abc", "1,,-2", "0x1F"])
def test_a_seed_is_a_whole_number_that_every_library_takes(text: str) -> None:
    with pytest.raises(InputError, match="is not a whole number from 0 to 4294967295"):
        values("--seeds", text, natural)
    assert values("--seeds", f"0, 7,,{2**32 - 1},7", natural) == [0, 7, 2**32 - 1]


@pytest.mark.parametrize("text", ["0", "-1e-4", "nan", "inf", "1e999", "x"])
def test_a_learning_rate_is_a_positive_number(text: str) -> None:
    with pytest.raises(InputError, match=f"--learning-rates {text}: '{text}' is not a positive number"):
        values("--learning-rates", text, positive)
    assert values("--learning-rates", "1e-4,.5", positive) == [1e-4, 0.5]


@pytest.mark.parametrize(
    "arguments",
    [("preview", "--rows", "9" * 5000), ("evaluate", "--method", "lora-seed" + "9" * 5000), ("x" * 5000,),
     ("seeds", "--seeds", "9" * 5000), ("status", "--profile", "x" * 5000), ("status", "--artifacts", "x/" * 5000)],
)  # fmt: skip
def test_a_command_line_of_any_length_ends_with_short_words(arguments: tuple[str, ...]) -> None:
    result = run("from pipeline.application import app; from pipeline.options import main; main(app)", *arguments)
    assert result.returncode == 2, result.stderr[-500:]
    assert "Traceback" not in result.stderr
    assert all(len(line) < 320 for line in result.stderr.splitlines())


def test_every_command_reaches_this_machine_without_the_proxy(monkeypatch):
    """Also what libraries ask: a hub, a tracker or a judge on the loopback."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "example.org")
    monkeypatch.setenv("http_proxy", "http://proxy.invalid:3128")
    with exit_status():
        for address in ("127.0.0.1", "localhost"):
            assert urllib.request.proxy_bypass(address)
        assert urllib.request.proxy_bypass("example.org")
        assert not urllib.request.proxy_bypass("example.com")
