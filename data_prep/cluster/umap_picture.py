"""A UMAP projection of a sample of the embeddings: a picture for the README, points with their text for the report.

UMAP: McInnes, Healy, Melville, arXiv 1802.03426. With a fixed seed it runs on one thread and repeats on one machine.
"""

from __future__ import annotations

import base64
import warnings
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from common.files import atomic_path
from common.progress import console
from data_prep.cluster.neighbour_graph import neighbour_graph
from data_prep.rows.documents import leading_texts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from scipy.sparse import csr_array

NEIGHBOURS = 15
EPOCHS = 200
"""What UMAP takes for more than 10,000 rows; for fewer, 500, which draws the same picture."""
EXACT_ROWS = 20_000
"""Up to so many rows all pairs are compared; beyond, UMAP searches its approximate neighbours itself."""
TEXT = 160
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#7f6000", "#999999", "#332288", "#117733")
"""Okabe and Ito's colours and four of Tol's: apart for colour-blind readers too. Past ten the marker changes."""
MARKERS = ("o", "^", "s", "D", "v", "P", "X")
FAULTS = (OSError, ImportError, RuntimeError, ValueError, TypeError, AttributeError)
"""What drawing may raise: no folder for numba's cache, a library that is half installed or disagrees with another."""
BLANK = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mP4DwABAQEAHLCMmQAAAABJRU5ErkJggg==")
"""A PNG of one pixel, where no picture can be drawn."""


def draw_umap(
    table: pa.Table, vectors: np.ndarray, labels: np.ndarray, *, rows: int, seed: int, picture: Path, points: Path
) -> dict[str, Any]:
    """Project a sample of `rows` rows to two dimensions; write the picture and the points; return what was shown."""
    sample = np.sort(np.random.default_rng(seed).choice(len(vectors), min(rows, len(vectors)), replace=False))
    projected, fault = _project_or_flatten(vectors[sample], seed)
    texts = [text[:TEXT] for text in leading_texts(table.take(pa.array(sample)))]
    columns = {
        "id": table["id"].take(pa.array(sample)),
        "x": projected[:, 0].astype(np.float32),
        "y": projected[:, 1].astype(np.float32),
        "cluster": labels[sample],
        "subset_name": table["subset_name"].take(pa.array(sample)),
        "text": pa.array(texts, pa.string()),
    }
    with atomic_path(points) as temporary:
        pq.write_table(pa.table(columns), temporary, compression="zstd")
    with atomic_path(picture) as temporary:
        try:
            _draw(projected, labels[sample], len(vectors), temporary, "UMAP" if fault is None else "PCA")
        except FAULTS as error:
            console.print(f"no picture of the clusters ({_reason(error)})", style="yellow", soft_wrap=True)
            temporary.write_bytes(BLANK)
    shown: dict[str, Any] = {"rows": len(sample), "neighbours": min(NEIGHBOURS, len(sample) - 1), "seed": seed}
    return shown if fault is None else {**shown, "projection": "PCA", "reason": fault}


def _project_or_flatten(vectors: np.ndarray, seed: int) -> tuple[np.ndarray, str | None]:
    """UMAP's projection; where it fails (numba finds no folder for its cache, say) the first two principal components,
    and the reason. A picture stops no pipeline."""
    try:
        return project(vectors, seed), None
    except FAULTS as error:
        reason = _reason(error)
        console.print(
            f"UMAP does not run here ({reason}); the clusters are drawn by their principal components",
            style="yellow",
            soft_wrap=True,
        )
        return principal_components(vectors), reason


def principal_components(vectors: np.ndarray) -> np.ndarray:
    """(n, D) to (n, 2), each direction with its largest coordinate positive."""
    centred = vectors - vectors.mean(axis=0)
    directions = np.linalg.svd(centred, full_matrices=False)[2][:2]  # (2, D), fewer where D or n is 1
    signs = np.sign(directions[np.arange(len(directions)), np.abs(directions).argmax(axis=1)])
    flat = centred @ (directions * signs[:, None]).T
    return np.pad(flat, ((0, 0), (0, 2 - flat.shape[1])))


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__


def project(vectors: np.ndarray, seed: int) -> np.ndarray:
    """(n, D) to (n, 2). Fewer than five rows are too few for a neighbourhood graph: their first two coordinates."""
    if len(vectors) < 5:
        return np.pad(vectors[:, :2], ((0, 0), (0, max(0, 2 - vectors.shape[1]))))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # "n_jobs value 1 overridden to 1 by setting random_state"
        if len(vectors) > EXACT_ROWS:
            model = _umap().UMAP(n_neighbors=NEIGHBOURS, random_state=seed, n_jobs=1, init="pca", n_epochs=EPOCHS)
            return np.asarray(model.fit_transform(vectors))
        return _laid_out(vectors, neighbour_graph(vectors, min(NEIGHBOURS, len(vectors) - 1)), seed)


def _laid_out(vectors: np.ndarray, graph: csr_array, seed: int) -> np.ndarray:
    """The graph's layout, (n, 2), with the defaults of `umap.UMAP`."""
    from scipy.sparse import coo_matrix

    umap = _umap()
    curve = umap.find_ab_params(spread=1.0, min_dist=0.1)
    layout = umap.simplicial_set_embedding(
        vectors,
        coo_matrix(graph),
        n_components=2,
        initial_alpha=1.0,
        a=curve[0],
        b=curve[1],
        gamma=1.0,
        negative_sample_rate=5,
        n_epochs=EPOCHS,
        init="pca",
        random_state=np.random.RandomState(seed),
        metric="euclidean",
        metric_kwds={},
        densmap=False,
        densmap_kwds={},
        output_dens=False,
    )
    return np.asarray(layout[0])


def _umap() -> Any:
    """umap-learn's module; a plain import would have pyright infer its unwritten types for half a minute."""
    return import_module("umap.umap_")


def _draw(projected: np.ndarray, labels: np.ndarray, whole: int, path: Path, method: str) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6.5), dpi=150, facecolor="white", layout="constrained")
    axes = figure.subplots()
    size = float(np.clip(16000 / len(labels), 4, 30))
    for number in np.unique(labels).tolist():
        own = projected[labels == number]
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number // len(COLOURS) % len(MARKERS)]
        axes.scatter(own[:, 0], own[:, 1], s=size, c=colour, marker=marker, alpha=0.65, linewidths=0, label=f"{number}")
        _label(axes, own, str(number), colour)
    axes.set_title(f"Instructions by cluster: {method} of {len(labels):,} of {whole:,} embeddings", loc="left")
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_color("#cccccc")
    if len(np.unique(labels)) > 1:
        axes.legend(title="cluster", loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, markerscale=2)
    figure.savefig(path)


def _label(axes: Axes, own: np.ndarray, text: str, colour: str) -> None:
    """The cluster's number at its most central point (a mean may fall among another cluster's points)."""
    centre = own[np.argmin(np.linalg.norm(own - np.median(own, axis=0), axis=1))]
    box = {"boxstyle": "circle,pad=0.25", "facecolor": "white", "edgecolor": colour, "linewidth": 1.5, "alpha": 0.9}
    axes.annotate(
        text, (float(centre[0]), float(centre[1])), ha="center", va="center", fontsize=10, weight="bold", bbox=box
    )
