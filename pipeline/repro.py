"""`make repro`: `dvc repro`, with stages that do not wait for each other side by side.

    python -m pipeline.repro [--jobs N] [what `dvc repro` takes]

DVC runs one stage after the other, and allows several `dvc repro` beside each other. A network as small as the bundled
one leaves a second processor idle half of the time; so for profiles on that base every processor takes a stage, with
one thread. All else runs as `dvc repro` runs it, and the artefacts are the same either way, up to the last digits that
the number of threads changes on some processors. `--jobs`, before everything else, says how many stages at once; with a
target or an option of DVC's it is one.

One notice of DVC's is left out, which it gives for each artefact: that a run before was killed. What that had locked is
free, and the stages go on where it was.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from common.environment import threads_of_process
from common.errors import InputError
from pipeline.side_by_side import leading_chain, run_side_by_side
from pipeline.warm.client import hand_over
from pipeline.warm.start import warm_process

WORTH_WARMING = 5
"""Fewer stages are done before the warm process has imported what they need."""


def main(arguments: list[str]) -> int:
    """The exit status of `dvc repro` with these arguments."""
    logging.getLogger("dvc.rwlock").setLevel(logging.ERROR)
    jobs = None
    if arguments[:1] == ["--jobs"]:
        if len(arguments) < 2 or not arguments[1].isdecimal() or int(arguments[1]) < 1:
            print("error: --jobs: a number of stages, at least 1", file=sys.stderr)
            return 2
        jobs, arguments = int(arguments[1]), arguments[2:]
    if not arguments:
        jobs = jobs or jobs_by_profile()
        if jobs > 1:
            return _side_by_side(jobs)
    return _dvc(["repro", *arguments])


def jobs_by_profile() -> int:
    """As many as processors (or `OMP_NUM_THREADS`) where the profile of params.yaml is on the bundled base; else 1."""
    from pipeline.options import load

    try:
        profile, _ = load(None, None, None)
    except InputError:  # the first stage says so
        return 1
    return threads_of_process() if profile.model.base == "embedded" else 1


def _side_by_side(jobs: int) -> int:
    """Run what is out of date; the first exit status that is not 0."""
    nothing_done = not Path("dvc.lock").exists()
    with ExitStack() as while_running:
        if nothing_done:  # known before DVC has looked at every file
            while_running.enter_context(warm_process())
        needs = _out_of_date()
        if not nothing_done and len(needs) >= WORTH_WARMING:
            while_running.enter_context(warm_process())
        chain = leading_chain(needs)
        rest = {stage: needed - set(chain) for stage, needed in needs.items() if stage not in chain}
        if chain and (status := _dvc(["repro", chain[-1]])):
            return status
        status = run_side_by_side(rest, _start, jobs)
    if status == 0:
        print("Data and pipelines are up to date.")  # as DVC says, which would look at all of them again
    return status


def _out_of_date() -> dict[str, set[str]]:
    """The stages that changed and all behind them, each with those of them that it needs."""
    from dvc.repo import Repo

    with Repo() as repo, repo.lock:
        graph = repo.index.graph
        needs = {stage.addressing: {needed.addressing for needed in graph.successors(stage)} for stage in graph}
        stale = {stage.addressing for stage in graph if stage.changed()}
    while behind := {stage for stage, needed in needs.items() if needed & stale} - stale:
        stale |= behind
    return {stage: needed & stale for stage, needed in needs.items() if stage in stale}


def _start(stage: str) -> subprocess.Popen[str]:
    """A stage alone, in a group of processes of its own: an interrupt on the terminal is passed on by this process."""
    command = [sys.executable, "-m", "pipeline.repro", "--single-item", stage]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True, errors="replace", process_group=0
    )


def _dvc(arguments: list[str]) -> int:
    from dvc.cli import main as dvc

    return dvc(["--wait-for-lock", *arguments])  # which a stage beside this one holds for a moment


if __name__ == "__main__":
    hand_over()
    sys.exit(main(sys.argv[1:]))
