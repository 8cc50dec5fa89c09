"""What is shown on a terminal: progress bars on stderr, for anything longer than two seconds, and words and tables, as
they are. rich would read `[/INST]` in a row's text as markup, `:id:` as an emoji, and colour numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Item = TypeVar("Item")


def plain_console(**options: Any) -> Console:
    """A console that shows every text as it is, in tables and titles too; a style is given, not written into text."""
    return Console(markup=False, emoji=False, highlight=False, **options)


console = plain_console(stderr=True)


@contextmanager
def progress_bar(enabled: bool = True) -> Iterator[Progress]:
    """A rich Progress on stderr; `enabled=False` (ranks other than 0) shows nothing."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not enabled) as progress:
        yield progress


def track(items: Iterable[Item], description: str, total: int | None = None, enabled: bool = True) -> Iterator[Item]:
    """Iterate with a bar. `total` is needed where `items` has no length."""
    with progress_bar(enabled) as progress:
        length = total if total is not None else len(items)  # type: ignore[arg-type]
        task = progress.add_task(description, total=length, note="")
        for item in items:
            yield item
            progress.advance(task)
