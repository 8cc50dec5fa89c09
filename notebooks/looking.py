"""What a notebook shows of the artefacts: the loss as it falls, how an answer was written, answers side by side."""

from __future__ import annotations

import csv
import html
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

TRAINING = "scratch/training"
"""Where unfinished trainings keep their checkpoints, under the artefacts."""


class Live:
    """The loss of a training while it runs, read from its newest checkpoint."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.handle, self.seen = folder, None, 0.0

    def draw(self, finished: Path | None = None) -> bool:
        """Draw again where there is something new; whether there was."""
        path = finished or max(self.folder.glob(f"{TRAINING}/**/state.json"), key=changed, default=None)
        if path is None or (finished is None and changed(path) <= self.seen):
            return False
        try:
            rows, self.seen = curve(path), changed(path)
        except (OSError, ValueError):  # an older checkpoint, just being removed
            return False
        self.show(png(loss_figure(rows)))
        return True

    def show(self, picture: bytes) -> None:
        from IPython.display import Image, display

        if self.handle is None:
            self.handle = display(Image(picture), display_id=True)
        else:
            self.handle.update(Image(picture))


def changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def curve(path: Path) -> list[dict[str, float | None]]:
    """The rows of a finished training's curve.csv or of a checkpoint's state.json; None where nothing was measured."""
    if path.suffix == ".json":
        return json.loads(path.read_text(encoding="utf-8"))["progress"]["curve"]
    with path.open(encoding="utf-8", newline="") as stream:
        return [{key: float(value) if value else None for key, value in row.items()} for row in csv.DictReader(stream)]


def loss_figure(rows: Sequence[dict[str, float | None]]) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.subplots()
    for key, label, style in (
        ("train_loss", "latih | training", "-"),
        ("validation_loss", "validasi | validation", "o-"),
    ):
        points = [(row["step"], row[key]) for row in rows if row[key] is not None]
        if points:
            axes.plot(*zip(*points, strict=True), style, label=label)
    axes.set(xlabel="langkah | step", ylabel="nats")
    if axes.lines:
        axes.legend()
    return figure


def denoising(folder: Path, method: str, item: int = 0) -> None:
    """How one answer was written: a line per step, each token where and when it appeared, darker where it was sure."""
    from IPython.display import Image, display

    trace = json.loads((folder / "evaluation" / method / "trace.json").read_text(encoding="utf-8"))["items"][item]
    print(trace["prompt"])
    display(Image(png(denoising_figure(trace))))


def denoising_figure(trace: dict[str, Any], widest: int = 16, most: int = 32) -> Any:
    """A grid, steps downwards, answer positions to the right; at most `widest` positions and `most` steps."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 0.5 + 0.28 * min(most, len(trace["steps"]))), layout="constrained")
    axes = figure.subplots()
    shown: dict[int, tuple[str, float]] = {}
    for row, step in enumerate(trace["steps"][:most]):
        for place in step["take_back"]:
            shown.pop(place, None)
        new = {place: (text, sure) for place, text, sure in step["commit"]}
        shown |= new
        for place in range(min(widest, trace["length"])):
            text, sure = shown.get(place, ("", 0.0))
            colour = (1 - 0.6 * sure, 1 - 0.3 * sure, 1.0) if place in shown else (0.85, 0.85, 0.85)
            axes.barh(row, 1, left=place, height=0.9, color=colour, edgecolor="white")
            weight = "bold" if place in new else "normal"
            axes.text(place + 0.5, row, literal(text), ha="center", va="center", fontsize=8, fontweight=weight)
    axes.set(xlim=(0, min(widest, trace["length"])), ylim=(min(most, len(trace["steps"])) - 0.5, -0.5))
    axes.set(xlabel="posisi | position", ylabel="langkah | step")
    return figure


def literal(text: str) -> str:
    """Dollar signs would begin a formula."""
    return text.strip().replace("\\", "\\\\").replace("$", r"\$")


def png(figure: Any) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=90)
    return stream.getvalue()


def side_by_side(folder: Path, before: str, after: str, rows: int = 8) -> None:
    """A table of questions with both systems' answers."""
    from IPython.display import HTML, display

    display(HTML(table(folder, before, after, rows)))


def table(folder: Path, before: str, after: str, rows: int) -> str:
    """Every text is escaped: it is data."""
    first, second = ({one["id"]: one for one in items(folder, name)} for name in (before, after))
    heads = ["pertanyaan | question", f"sebelum | before ({before})", f"sesudah | after ({after})", "acuan | reference"]
    lines = ["".join(f"<th>{html.escape(head)}</th>" for head in heads)]
    for key in [key for key in first if key in second][:rows]:
        cells = [first[key]["prompt"], first[key]["answer"], second[key]["answer"], first[key]["reference"]]
        lines.append("".join(f"<td>{html.escape(cell)}</td>" for cell in cells))
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def items(folder: Path, system: str) -> list[dict[str, Any]]:
    path = folder / "evaluation" / system / "items.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
