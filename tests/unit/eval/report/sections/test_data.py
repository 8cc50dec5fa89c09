"""The funnel and the cluster map."""

from __future__ import annotations

from eval.report.sections.data import cluster_map, funnel, shorten


def test_unknown_funnel_shapes_are_left_out() -> None:
    assert funnel({"something": 1}, {}).bars == []


def test_map_keeps_at_most_the_maximum_of_points() -> None:
    points = [{"x": i, "y": -i, "cluster": i % 3, "subset_name": "a", "text": "kata " * 100} for i in range(6000)]
    chosen = cluster_map(points)
    assert chosen.shown <= 2500
    assert chosen.all == 6000
    assert all(0 <= x <= 1000 and 0 <= y <= 1000 for x, y, *_ in chosen.points)
    assert len(shorten("kata " * 100)) <= 140
