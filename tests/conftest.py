"""What holds for every test: offline, quiet, one thread (tensors are tiny), CUDA tests skipped where there is none."""

from __future__ import annotations

import os
import sys

import pytest

from common.environment import granted_processors

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the processes that tests start, too: workers share the machine


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """`-n auto`: the processors that affinity and container grant."""
    return granted_processors()


def pytest_collection_finish(session: pytest.Session) -> None:
    torch = sys.modules.get("torch")  # not imported for the tests that do without
    if torch is not None:
        torch.set_num_threads(1)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("cuda") is None:
        return
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device, and there is none")
