"""What is wrong with planted answers is said, and keeps an adapter from being the best."""

from __future__ import annotations

from pathlib import Path

from eval.report.verdict import better
from tests.support.report import Planted, english, faithful, judged, soup


def test_a_collapsed_adapter_is_flagged_even_where_it_wins_rouge1(tmp_path: Path) -> None:
    def bag(item, rng):  # the reference's commonest words in a circle: unigram overlap without a sentence
        return "di " * 3 + "kota tahun pada warga " * 3 + " ".join(item.reference.split()[:3]) + " di kota" * 4

    weak = faithful(0.12)
    told, comparisons = judged(
        tmp_path, Planted("base", soup, 5.0), Planted("lora", bag, 2.0), Planted("pissa", weak, 3.0)
    )
    assert any(flag.system == "lora" and flag.kind == "collapsed" and flag.severe for flag in told.flags)
    assert any(
        better(one) == "lora" for one in comparisons if one.metric == "rouge1" and "pissa" in (one.first, one.second)
    )
    assert "LoRA is the best" not in told.headline


def test_an_english_writing_adapter_is_flagged_and_never_the_best(tmp_path: Path) -> None:
    told, _ = judged(
        tmp_path, Planted("base", soup, 5.0), Planted("lora", english, 1.0), Planted("pissa", faithful(0.6), 3.0)
    )
    assert any(flag.system == "lora" and flag.kind == "English" for flag in told.flags)
    assert told.headline == "PiSSA is the only adapter that is not flagged below."


def test_no_adapter_is_praised_when_all_are_flagged(tmp_path: Path) -> None:
    told, _ = judged(tmp_path, Planted("base", soup, 5.0), Planted("lora", soup, 3.0), Planted("pissa", english, 3.0))
    assert told.headline.startswith("No adapter can be recommended")
