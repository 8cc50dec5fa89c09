"""What is shown on a terminal: progress bars on stderr, for anything longer than two seconds, and words and tables, as
they are. rich would read `[/INST]` in a row's text as markup, `:id:` as an emoji, and colour numbers; and a terminal
would obey the control characters in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Any, TypeVar

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.segment import Segment
from rich.text import Text

from common.escaping import visible

Item = TypeVar("Item")


class _VisibleConsole(Console):
    """Whatever is printed reaches the terminal `visible`: strings before they are measured, all else as it is drawn."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(visible(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        for segment in super().render(renderable, options):
            shown = segment.text if segment.control else visible(segment.text)
            yield segment if shown == segment.text else Segment(shown, segment.style)


def plain_console(**options: Any) -> Console:
    """A console that shows every text as it is, in tables and titles too; a style is given, not written into text."""
    return _VisibleConsole(markup=False, emoji=False, highlight=False, **options)


console = plain_console(stderr=True)
_bars = console


@contextmanager
def bars_on(terminal: IO[str]) -> Iterator[None]:
    """Show progress bars there, and take each away when it is done; words go where they went."""
    global _bars
    before, _bars = _bars, plain_console(file=terminal)
    try:
        yield
    finally:
        _bars = before


@contextmanager
def progress_bar(enabled: bool = True) -> Iterator[Progress]:
    """A rich Progress on stderr, or where `bars_on` says; `enabled=False` (ranks other than 0) shows nothing."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    apart = _bars is not console  # then what is printed meanwhile is not the bars' to draw around
    with Progress(
        *columns,
        console=_bars,
        disable=not enabled,
        transient=apart,
        redirect_stdout=not apart,
        redirect_stderr=not apart,
    ) as progress:
        yield progress


def track(items: Iterable[Item], description: str, total: int | None = None, enabled: bool = True) -> Iterator[Item]:
    """Iterate with a bar. `total` is needed where `items` has no length."""
    with progress_bar(enabled) as progress:
        length = total if total is not None else len(items)  # type: ignore[arg-type]
        task = progress.add_task(description, total=length, note="")
        for item in items:
            yield item
            progress.advance(task)
