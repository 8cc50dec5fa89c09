"""Threads: what the user asked for, else what the machine and its containers grant."""

import os
import subprocess
import sys

import pytest

from common import environment
from common.environment import granted_processors, tell_libraries_of_processors, threads_of_process
from tests.support.imports import REPOSITORY


@pytest.fixture(autouse=True)
def eight_processors(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)))
    for name in (
        "OMP_NUM_THREADS", "RAYON_NUM_THREADS", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "ACCELERATE_MIXED_PRECISION",
    ):  # fmt: skip
        monkeypatch.setenv(name, "")  # so that monkeypatch takes it back
        monkeypatch.delenv(name)


def groups(folder, own="0::/", **quotas):
    """Control groups as files: `a__b=TEXT` is cpu.max of /a/b, `root=TEXT` that of /."""
    for name, text in quotas.items():
        place = folder / ("" if name == "root" else name.replace("__", "/"))
        place.mkdir(parents=True, exist_ok=True)
        (place / "cpu.max").write_text(text)
    (folder / "own").write_text(f"{own}\n")
    return folder, folder / "own"


def test_affinity_grants_where_nothing_limits(tmp_path):
    assert granted_processors(*groups(tmp_path, root="max 100000")) == 8
    assert granted_processors(tmp_path / "nowhere", tmp_path / "nothing") == 8


def test_a_container_grants_its_quota(tmp_path):
    assert granted_processors(*groups(tmp_path, root="250000 100000")) == 2
    assert granted_processors(*groups(tmp_path, root="50000 100000")) == 1


def test_the_smallest_quota_of_the_groups_above_counts(tmp_path):
    quotas = {"root": "max 100000", "pod": "300000 100000", "pod__job": "max 100000"}
    assert granted_processors(*groups(tmp_path, "0::/pod/job", **quotas)) == 3


def test_control_groups_of_version_1_count(tmp_path):
    folder, own = groups(tmp_path, "4:cpu,cpuacct:/")
    (folder / "cpu").mkdir()
    (folder / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    (folder / "cpu" / "cpu.cfs_quota_us").write_text("400000\n")
    assert granted_processors(folder, own) == 4
    (folder / "cpu" / "cpu.cfs_quota_us").write_text("-1\n")
    assert granted_processors(folder, own) == 8


@pytest.mark.parametrize(("value", "expected"), [("3", 3), ("4,2", 4), ("many", 8), ("0", 8), ("", 8)])
def test_omp_num_threads_is_respected_where_it_is_a_number(monkeypatch, value, expected):
    monkeypatch.setattr(environment, "granted_processors", lambda: 8)
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert threads_of_process() == expected


def test_processes_of_one_machine_share_what_is_granted(monkeypatch):
    monkeypatch.setattr(environment, "granted_processors", lambda: 8)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    assert threads_of_process() == 2


@pytest.mark.parametrize(("users", "expected"), [("3", "3"), (None, "None")])
def test_what_a_launcher_sets_by_itself_is_not_the_users_word(users, expected):
    """The launcher is a process that sets 1 for its child, as accelerate's does."""
    child = "from common.environment import asked_for; print(asked_for())"
    launcher = (
        "import os, subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]], check=True, "
        "env=os.environ | {'OMP_NUM_THREADS': '1', 'ACCELERATE_MIXED_PRECISION': 'no'})"
    )
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    environment |= {"OMP_NUM_THREADS": users} if users else {}
    command = [sys.executable, "-c", launcher, child]
    done = subprocess.run(command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected


@pytest.mark.parametrize(
    ("granted", "asked", "expected"),
    [(8, None, (None, None)), (3, None, ("3", "3")), (3, "2", ("2", "2")), (8, "5", ("5", "5"))],
)
def test_libraries_are_told_of_a_quota_and_of_the_users_word(monkeypatch, granted, asked, expected):
    monkeypatch.setattr(environment, "granted_processors", lambda: granted)
    if asked:
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
    tell_libraries_of_processors()
    assert (os.environ.get("OMP_NUM_THREADS"), os.environ.get("RAYON_NUM_THREADS")) == expected


def test_a_thread_count_that_the_user_set_for_a_library_stays(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setenv("RAYON_NUM_THREADS", "7")
    tell_libraries_of_processors()
    assert os.environ["RAYON_NUM_THREADS"] == "7"
