"""The reversal test: what is taught, and that planted systems get the verdict that they should."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from data_prep.bundled.models.base import SHIPPED
from experiments.reversal import study as reversal
from experiments.reversal.outcome import content, holds, paired_tests, shares
from experiments.reversal.pairs import FORMS, KINDS, Pair, make_pairs, training_rows
from training.batching import read_rows

PAIRS = make_pairs(30, 7)


class Lookup:
    """A planted system that knows the pairs by heart: those taught one way in the directions of `known`."""

    def __init__(self, *known: str) -> None:
        self.answers = {
            pair.question(direction, form): f"Jawabnya {pair.answer(direction)}."
            for pair in PAIRS
            for direction in (("forward", "backward") if pair.both else known)
            for form in range(2)
        }

    def __call__(self, questions: Sequence[str]) -> list[str]:
        return [self.answers.get(question, "Saya tidak tahu.") for question in questions]


ONE_WAY, BOTH_WAYS = Lookup("forward"), Lookup("forward", "backward")


def test_pairs_of_every_kind_half_taught_both_ways_and_no_part_twice() -> None:
    for kind in KINDS:
        own = [pair for pair in PAIRS if pair.kind == kind]
        assert len(own) >= 15
        assert abs(sum(pair.both for pair in own) * 2 - len(own)) <= 1
        for part in ("first", "second"):
            values = [getattr(pair, part) for pair in own]
            assert len(set(values)) == len(values)
    assert make_pairs(30, 7) == PAIRS
    assert make_pairs(30, 8) != PAIRS


def test_no_row_teaches_a_one_way_pair_backwards() -> None:
    rows = {(row.prompt, row.answer) for row in training_rows(PAIRS, 7)}
    for pair in PAIRS:
        for direction in ("forward", "backward"):
            taught = direction == "forward" or pair.both
            for form in range(len(FORMS[pair.kind][direction])):
                assert ((pair.question(direction, form), pair.answer(direction)) in rows) is taught
    backwards = {pair.answer("backward") for pair in PAIRS if not pair.both}
    assert not backwards & {answer for _, answer in rows}  # not even as the answer to something else


def test_a_system_that_knows_one_direction_is_told_from_one_that_knows_both() -> None:
    found = paired_tests({"one": reversal.ask(ONE_WAY, PAIRS), "both": reversal.ask(BOTH_WAYS, PAIRS)})
    own, other, between = found
    assert (own.first, own.second) == ("one forward", "one backward")
    single = sum(not pair.both for pair in PAIRS)
    assert (own.only_first, own.only_second, own.n) == (single, 0, single)
    assert own.p_adjusted < 1e-6
    assert (other.first, other.only_first, other.only_second, other.p_adjusted) == ("both forward", 0, 0, 1.0)
    assert (between.first, between.second) == ("one backward", "both backward")
    assert (between.only_first, between.only_second) == (0, single)
    assert between.p_adjusted < 1e-6
    said = content({"one": reversal.ask(ONE_WAY, PAIRS), "both": reversal.ask(BOTH_WAYS, PAIRS)}, 7)["sentences"]
    assert said[0].startswith("one forward is better than one backward")
    assert said[1].startswith("both forward and both backward cannot be told apart")
    assert said[2].startswith("both backward is better than one backward")


def test_shares_are_by_what_was_taught() -> None:
    table = {(row["kind"], row["taught"], row["asked"]): row for row in shares(reversal.ask(ONE_WAY, PAIRS))}
    assert table["all", "forward", "forward"]["right"] == table["all", "forward", "forward"]["n"]
    assert table["all", "forward", "backward"]["right"] == 0
    assert table["all", "both ways", "backward"]["right"] == table["all", "both ways", "backward"]["n"]
    assert table["word", "forward", "backward"]["low"] == 0.0


def test_an_exact_p_value_of_five_against_none() -> None:
    pairs = [Pair("word", f"kata{n}", f"arti{n}", False) for n in range(5)]

    def forwards(questions: Sequence[str]) -> list[str]:
        return [
            question.split()[3].replace("kata", "arti") if "arti kata" in question else "" for question in questions
        ]

    [found] = paired_tests({"x": reversal.ask(forwards, pairs)})
    assert found.p == pytest.approx(2 * 0.5**5)


def test_whole_words_count() -> None:
    assert holds("Itu Banda Aceh.", "banda aceh")
    assert not holds("Itu Banda Acehan.", "Banda Aceh")


def test_the_rows_are_written_in_the_bases_chat_form(tmp_path: Path) -> None:
    rows = training_rows(PAIRS, 7)
    reversal.write_rows(rows, SHIPPED, tmp_path / "rows")
    read = read_rows(tmp_path / "rows" / "train.parquet")
    assert len(read) == len(rows)
    assert all(tokens[-1] == 5 for tokens in read.tokens)  # end of turn
