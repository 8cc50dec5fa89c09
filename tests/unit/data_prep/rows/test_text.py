"""A row's id."""

from __future__ import annotations

from data_prep.rows.text import row_id


def test_a_row_id_depends_on_every_column_and_on_where_a_column_ends() -> None:
    base = ["a", "b", "c", "d", "e", "f", "g"]
    changed = [[*base[:place], None, *base[place + 1 :]] for place in range(len(base))]
    shifted = [["ab", "", *base[2:]], ["a", "b", "cd", "", *base[4:]]]
    ids = [row_id(values) for values in (base, *changed, *shifted)]
    assert len(set(ids)) == len(ids)
