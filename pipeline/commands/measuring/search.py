"""`python -m pipeline search`: candidates by meaning, to look for leaks and duplicates that share no words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.options import ArtifactsOption, ProfileOption, SetOption, running

if TYPE_CHECKING:
    from data_prep.search.searching import Hit

SHOWN = 160  # characters of a text


def search(
    query: Annotated[str, typer.Argument(metavar="TEXT", help="What to look for, in words.", show_default=False)],
    top: Annotated[int, typer.Option("--top", metavar="N", min=1, max=10_000, help="How many rows to show.")] = 10,
    profile: ProfileOption = None,
    overrides: SetOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Show the candidates nearest in meaning to a text, and where they stand.

    Warns when one stands in the test set.
    """
    with running("search", profile, overrides, artifacts) as (_, paths):
        from pipeline.paths import read_inputs, require

        candidates = require(paths.candidates, "select", paths)
        embeddings, ids = (require(path, "embed", paths) for path in (paths.embeddings, paths.embedding_ids))
        from data_prep.search.searching import search as search_candidates

        hits = search_candidates(
            query, top, candidates=candidates, embeddings=embeddings, ids=ids, encoder=read_inputs(paths).encoder,
            clusters=paths.clusters, splits=paths.splits,
        )  # fmt: skip
        show(hits)


def show(hits: Sequence[Hit]) -> None:
    """A table on stdout; on stderr a warning about the test set's rows."""
    from rich.table import Table

    from common.progress import console, plain_console

    grid = Table("cosine", "subset", "cluster", "split", "row, question, answer")
    for hit in hits:
        place = [hit.row["subset_name"], "" if hit.cluster is None else str(hit.cluster), hit.split or ""]
        text = f"{hit.row['id']}\n{short(hit.row['input'])}\n{short(hit.row['output'])}"
        grid.add_row(f"{hit.cosine:.3f}", *place, text, style="bold" if hit.split == "test" else "")
    plain_console().print(grid)
    tested = [hit.row["id"] for hit in hits if hit.split == "test"]
    if tested:
        said = ", ".join(tested[:3]) + (" and others" if len(tested) > 3 else "")
        console.print(f"warning: {len(tested)} of these rows stand in the test set: {said}", soft_wrap=True)


def short(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
