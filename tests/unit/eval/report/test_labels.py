"""Titles and marks of systems: one table of titles, the one in which a method is declared."""

from __future__ import annotations

import pytest

from adapters.methods import METHODS, Method
from eval.report.labels import labels_of, system_title


@pytest.mark.parametrize("name", METHODS)
def test_a_method_goes_by_the_title_it_was_declared_with(name: str) -> None:
    assert system_title(name) == METHODS[name].title
    assert system_title(f"{name}-seed2") == f"{METHODS[name].title}, seed 2"


def test_a_method_that_is_added_has_its_title_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "rsloraplus", Method("rsLoRA+", rank_stabilised=True, loraplus=True))
    assert system_title("rsloraplus") == "rsLoRA+"


def test_every_system_has_a_mark_of_its_own() -> None:
    labels = labels_of(["base", *METHODS])
    assert labels["base"].title == "Base"
    assert len({label.style for label in labels.values()}) == len(labels)
