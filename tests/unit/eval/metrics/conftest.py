"""Statistics of a few hand-written answers."""

from __future__ import annotations

import pytest

from eval.metrics import text_statistics
from eval.metrics.statistics import Array
from tests.support.evaluation import ANSWERS, PROMPTS, REFERENCES


@pytest.fixture(scope="session")
def statistics() -> dict[str, Array]:
    return text_statistics(ANSWERS, REFERENCES, PROMPTS, [False, True, False, True, False])
