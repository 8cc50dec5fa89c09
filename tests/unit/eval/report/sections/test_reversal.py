"""The report's section on pairs that were taught one way and asked both."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from eval.report.sections.beside import reversal
from tests.support.report import reversal_facts


def test_shares_tests_and_kinds_are_those_of_the_study() -> None:
    section = reversal.build(reversal_facts())  # the diffusion model knows both ways, the twin what it was taught
    lora, twin = section.rows
    assert [cell.text for cell in lora.cells] == ["30 of 30"] * 3
    assert [cell.text for cell in twin.cells] == ["30 of 30", "0 of 30", "30 of 30"]
    assert (lora.p, twin.p) == ("1.00", "below 0.001")
    assert twin.cells[1].interval == "0 to 11"  # Wilson's of 0 of 30
    assert [kind for kind, _ in section.kinds] == ["capital", "pantun", "word"]
    assert section.sentences[0] == (
        "LoRA, asked forwards, and LoRA, asked backwards, cannot be told apart (0 pairs right in the first alone, "
        "0 in the second, of 30; p = 1.00)."
    )
    assert section.sentences[2].startswith(
        "LoRA, asked backwards, is better than Autoregressive LoRA, asked backwards ("
    )


def test_a_system_that_nobody_knows_is_refused() -> None:
    facts = reversal_facts()
    reversal.Reversal.model_validate(facts)
    with pytest.raises(ValidationError, match="nobody is no system"):
        reversal.Reversal.model_validate(facts | {"systems": {"nobody": facts["systems"]["lora"]}})
    test = facts["tests"][0] | {"first": "pissa forward"}
    with pytest.raises(ValidationError, match="was not asked"):
        reversal.Reversal.model_validate(facts | {"tests": [test]})
