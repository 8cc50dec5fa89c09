"""What came out of a scaling study: the points of each axis, the power law through them, and where it leads."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.files import atomic_path, read_json
from common.progress import console
from experiments.power_law import bootstrap, extrapolation, fit

RESAMPLES, SEED = 400, 0
BEYOND = 4.0
"""How far a law is extrapolated: to this many times the largest x that was run."""
BAND_POINTS = 24
AXES = ("rows", "parameters", "compute", "epochs")
"""What varies, by its name in a Record."""


@dataclass(frozen=True)
class Record:
    """One training. compute: operations; bound: the best validation's, last: the last one's, nats per token."""

    system: str
    rows: int
    rank: int
    epochs: float
    seed: int
    steps: int
    parameters: int
    compute: float
    seconds: float
    bound: float
    last: float


def summary(records: Sequence[Record]) -> dict[str, Any]:
    """What scale.json holds: the runs, and a line per system and axis."""
    return {"runs": [asdict(record) for record in records], "lines": [line(*one) for one in lines(records)]}


def lines(records: Sequence[Record]) -> list[tuple[str, str, dict[str, float], list[Record]]]:
    """(system, axis, what is fixed, runs) of everything that has at least two different x."""
    found = []
    for system in dict.fromkeys(record.system for record in records):
        own = [record for record in records if record.system == system]
        base = own[0].epochs
        grid = [record for record in own if record.epochs == base]
        for rank in sorted({record.rank for record in grid}):
            found.append((system, "rows", {"rank": rank}, [one for one in grid if one.rank == rank]))
        for rows in sorted({record.rows for record in grid}):
            found.append((system, "parameters", {"rows": rows}, [one for one in grid if one.rows == rows]))
        found.append((system, "compute", {}, grid))
        for rows, rank in sorted({(one.rows, one.rank) for one in own if one.epochs != base}):
            passes = [one for one in own if (one.rows, one.rank) == (rows, rank)]
            found.append((system, "epochs", {"rows": rows, "rank": rank}, passes))
    return [one for one in found if len({getattr(run, one[1]) for run in one[3]}) > 1]


def line(system: str, axis: str, fixed: dict[str, float], runs: Sequence[Record]) -> dict[str, Any]:
    """Points, and where they suffice the law with its band and its extrapolation."""
    runs = sorted(runs, key=lambda run: getattr(run, axis))
    x, y = np.array([float(getattr(run, axis)) for run in runs]), np.array([run.bound for run in runs])
    found: dict[str, Any] = {"system": system, "axis": axis, "fixed": fixed, "points": points(x, y)}
    law = fit(x, y)
    if law is None or len(y) < 5:
        return found | {"law": None, "band": [], "beyond": None}
    at = np.unique([*x, *np.geomspace(x.min(), BEYOND * x.max(), BAND_POINTS)])
    low, high = np.quantile(bootstrap(x, y, at, RESAMPLES, SEED), (0.025, 0.975), axis=0)
    band = [list(map(float, row)) for row in zip(at, law(at), low, high, strict=True)]
    ends = {place: [below, above] for place, _, below, above in band}
    for point in found["points"]:
        point["band"] = ends[point["x"]]
    below, above = extrapolation(x, y, at[-1])
    beyond = {"x": float(at[-1]), "bound": float(law(at[-1])), "low": below, "high": above}
    return found | {"law": asdict(law), "band": band, "beyond": beyond}


def points(x: np.ndarray, y: np.ndarray) -> list[dict[str, Any]]:
    return [
        {
            "x": float(place),
            "bound": statistics.fmean(y[x == place]),
            "low": float(y[x == place].min()),
            "high": float(y[x == place].max()),
            "seeds": int((x == place).sum()),
            "band": None,
        }
        for place in np.unique(x)
    ]


def show(folder: Path) -> None:
    """Print what `scale` wrote into the folder, a sentence per line."""
    for one in read_json(folder / "scale.json")["lines"]:
        first, last = one["points"][0], one["points"][-1]
        what = f"{name_of(one)}: {first['bound']:.3f} to {last['bound']:.3f} from {first['x']:.4g} to {last['x']:.4g}"
        exponent, offset, beyond = law_words(one)
        law = f"exponent {exponent}, offset {offset}; led on: {beyond}" if offset else exponent
        console.print(f"{what}; {law}", soft_wrap=True)
    console.print(f"{folder / 'scale.json'}, {folder / 'scale.png'}", soft_wrap=True)


def name_of(one: dict[str, Any]) -> str:
    """lora, rows at rank 8"""
    fixed = ", ".join(f"{key} {value:,}" for key, value in one["fixed"].items())
    return f"{one['system']}, {one['axis']}{f' at {fixed}' if fixed else ''}"


def law_words(one: dict[str, Any]) -> tuple[str, str, str]:
    """Exponent, offset and extrapolation of a line in words; what the runs do not determine is said."""
    law, beyond = one["law"], one["beyond"]
    if law is None:
        return "too few points", "", ""
    ends = ["0" if law["exponent_low"] is None else f"{law['exponent_low']:.2f}"]
    ends += ["open" if law["exponent_high"] is None else f"{law['exponent_high']:.2f}"]
    far = f"{beyond['bound']:.3f} ({beyond['low']:.3f} to {beyond['high']:.3f}) at {beyond['x']:.4g}"
    return f"{law['exponent']:.2f} ({' to '.join(ends)})", f"{law['offset']:.3f}", far


def plot(folder: Path) -> None:
    """`scale.png`: a panel per axis, dots per point with the range of its seeds, the law and its band."""
    from matplotlib.figure import Figure

    found = read_json(folder / "scale.json")["lines"]
    axes_names = [name for name in AXES if any(one["axis"] == name for one in found)]
    figure = Figure(figsize=(5 * max(1, len(axes_names)), 4), layout="constrained")
    for name, panel in zip(axes_names, np.atleast_1d(figure.subplots(1, max(1, len(axes_names)))), strict=False):
        for one in (one for one in found if one["axis"] == name):
            dots = one["points"]
            x, y = [dot["x"] for dot in dots], [dot["bound"] for dot in dots]
            spread = [[dot["bound"] - dot["low"] for dot in dots], [dot["high"] - dot["bound"] for dot in dots]]
            drawn = panel.errorbar(x, y, yerr=spread, fmt="o", label=name_of(one))
            if one["band"]:
                at, middle, low, high = zip(*one["band"], strict=True)
                panel.plot(at, middle, color=drawn.lines[0].get_color(), linewidth=1)
                panel.fill_between(at, low, high, color=drawn.lines[0].get_color(), alpha=0.15)
        panel.set(xscale="log", xlabel=name, ylabel="validation bound, nats per answer token")
        panel.legend(fontsize=7)
    with atomic_path(folder / "scale.png") as temporary:
        figure.savefig(temporary, dpi=130, format="png")
