"""The command for a GPU, on the CPU: every part runs; a part that crashes or hangs costs only itself."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.cuda import PARTS, Part, Record, run
from benchmarks.cuda_parts import RESULT, driver
from benchmarks.cuda_parts.report import RESULTS, ROWS, TITLES, page
from benchmarks.cuda_parts.setting import Setting
from benchmarks.cuda_parts.trainer import method_run
from tests.support.imports import LONG, REPOSITORY
from training import trainer


class Scripted(Part):
    """A part that runs a line of Python."""

    def __init__(self, name, line, seconds=60):
        super().__init__(name, "a line", seconds)
        object.__setattr__(self, "line", line)

    def command(self, quick, folder, seconds, keep, cases):
        return [sys.executable, "-c", self.line]


def told(name):
    return f'print(\'{RESULT}\' + \'{{"name": "{name}", "value": 1}}\', flush=True)'


def parts_of(path):
    return json.loads(path.read_text())["parts"]


@pytest.mark.skipif(not LONG, reason="minutes; LONG_TESTS=1 runs it")
def test_every_part_runs_on_the_cpu_at_toy_size(tmp_path):
    """A slow machine gets an hour; the bar of four minutes is for two idle cores."""
    output = tmp_path / "cuda.json"
    command = [sys.executable, "benchmarks/cuda.py", "--quick", "--seconds", "3600", "--output", str(output)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    parts = parts_of(output)
    assert list(parts) == [part.name for part in PARTS] == list(TITLES)
    assert {part["status"] for part in parts.values()} == {"done"}
    found = {(name, result["name"]) for name, part in parts.items() for result in part["results"]}
    assert {(row.part, row.result) for row in ROWS} - found <= {("t4", "micro-batch 8"), ("t4", "micro-batch 1")}
    document = page(json.loads(output.read_text()))
    assert "Toy sizes" in document
    assert "failed" not in document


def test_the_trainer_is_driven_as_it_is_today(tmp_path, monkeypatch):
    """The driver puts its own base into the trainer's loop, and so must follow its signatures."""
    for owner, name in ((trainer, "load_unquantised"), (trainer, "attach"), (trainer.Trainer, "optimizer_step")):
        monkeypatch.setattr(owner, name, getattr(owner, name))  # put back after the test
    given = Setting(True, tmp_path, 0.0)
    run = method_run(given, "lora", {"rank": 16, "alpha": 32})
    monkeypatch.setattr(sys, "argv", ["driver.py", str(run.write())])
    driver.main()
    found = json.loads(run.result.read_text())
    assert found["steps"] == run.train["max_steps"] == len(found["losses"])
    assert found["finite"]
    assert found["estimated_gib"] > 0


def test_a_part_that_crashes_or_hangs_costs_only_itself(tmp_path):
    hanging = f"{told('before')}; import subprocess, time; subprocess.Popen(['sleep', '60.25']); time.sleep(60)"
    parts = [
        Scripted("first", told("one")),
        Scripted("crashing", f"{told('half')}; raise RuntimeError('the card fell off')"),
        Scripted("hanging", hanging, seconds=6),
        Scripted("last", told("two")),
    ]
    began = time.perf_counter()
    status = run(parts, Record(tmp_path / "cuda.json", parts, False, []), False, tmp_path, 100)
    assert time.perf_counter() - began < 50
    assert status == 1
    found = parts_of(tmp_path / "cuda.json")
    assert [found[part.name]["status"] for part in parts] == ["done", "failed", "timed out", "done"]
    assert [[r["name"] for r in found[part.name]["results"]] for part in parts] == [
        ["one"],
        ["half"],
        ["before"],
        ["two"],
    ]
    assert "the card fell off" in found["crashing"]["error"]
    assert "exceeded its 6 s" in found["hanging"]["error"]
    assert b"60.25" not in b"".join(map(command_line, Path("/proc").glob("[0-9]*/cmdline")))


def command_line(path):
    try:
        return path.read_bytes()
    except OSError:  # it has ended meanwhile
        return b""


def test_a_result_is_in_the_file_while_its_part_still_runs(tmp_path):
    output = tmp_path / "cuda.json"
    look = f"import json, time; time.sleep(1); print(json.load(open({str(output)!r}))['parts']['one']['results'])"
    part = Scripted("one", f"{told('early')}; {look}; raise SystemExit(3)")
    assert run([part], Record(output, [part], False, []), False, tmp_path, 60) == 1
    assert "'early'" in parts_of(output)["one"]["error"]


def test_parts_without_time_stay_not_run(tmp_path):
    part = Scripted("one", told("early"))
    assert run([part], Record(tmp_path / "cuda.json", [part], False, []), False, tmp_path, 1) == 0
    assert parts_of(tmp_path / "cuda.json")["one"] | {"purpose": ""} == {
        "purpose": "", "status": "not run", "seconds": None, "results": [], "error": "no time was left",
    }  # fmt: skip


def test_a_part_that_runs_again_leaves_the_others_results(tmp_path):
    parts = [Scripted(name, told(name)) for name in ("one", "two")]
    output = tmp_path / "cuda.json"
    run(parts, Record(output, parts, False, []), False, tmp_path, 60)
    run(parts[1:], Record(output, parts, False, ["two"]), False, tmp_path, 60)
    assert [len(part["results"]) for part in parts_of(output).values()] == [1, 1]
    with pytest.raises(SystemExit, match="take another --output"):
        Record(output, parts, True, ["two"])


def test_a_case_that_is_measured_again_takes_the_place_of_its_older_result_alone(tmp_path):
    output, parts = tmp_path / "cuda.json", [Scripted("one", f"{told('left')}; {told('again')}")]
    run(parts, Record(output, parts, False, []), False, tmp_path, 60)
    line = told("again").replace('"value": 1', '"value": 2')
    parts = [Scripted("one", line)]
    run(parts, Record(output, parts, False, ["one"]), False, tmp_path, 60, ["again"])
    results = parts_of(output)["one"]["results"]
    assert {one["name"]: one["value"] for one in results} == {"left": 1, "again": 2}
    assert all(one["at"].endswith("Z") for one in results)


def test_a_part_asks_its_module_for_its_own_cases_unless_others_are_wanted(tmp_path):
    [compiled] = [part for part in PARTS if part.name == "compiled"]
    words = compiled.command(True, tmp_path, 9, tmp_path, ())
    assert words[2] == "benchmarks.cuda_parts.steps"
    assert [word for word in words if word.startswith("--case=")] == [f"--case={name}" for name in compiled.cases]
    assert "--case=x" in compiled.command(True, tmp_path, 9, tmp_path, ["x"])


def test_the_document_is_what_the_script_writes():
    content = json.loads(RESULTS.read_text()) if RESULTS.is_file() else None
    assert (REPOSITORY / "docs" / "gpu.md").read_text(encoding="utf-8") == page(content)


def test_the_document_says_of_everything_that_it_was_not_run():
    nothing = page(None)
    assert nothing.count("not run |") == len(ROWS)
    assert "no GPU was at hand" in nothing
