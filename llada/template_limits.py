"""Limits of chat templates, which are programs of strangers: transformers runs them in jinja2's sandbox, which keeps
them from files and code but not from time and memory.

What a single operation could make huge (products, padding) is refused before rendering; while it renders, a template
has so many seconds and so much memory. Honest templates take some thousand lines and a few kilobytes.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from llada.errors import CheckpointError

LONGEST = 64 * 1024  # characters
SECONDS, GROWTH = 5.0, 256 << 20
_PADDING = {"ljust", "rjust", "center", "zfill", "expandtabs", "format", "format_map", "indent", "wordwrap"}
_GENERATION = re.compile(r"\{%-?\s*(?:end)?generation\s*-?%\}")  # transformers' own tag, which marks and does nothing
_STATM = Path("/proc/self/statm")


def check_template(source: str) -> None:
    """Refuse a template that is long, is none, or holds an operation that makes much of little.

    Raises:
        CheckpointError: in the words that follow "chat_template: ".
    """
    from jinja2 import TemplateError, nodes
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    if len(source) > LONGEST:
        raise CheckpointError(f"{len(source):,} characters, allowed: {LONGEST:,}")
    try:
        tree = ImmutableSandboxedEnvironment(extensions=["jinja2.ext.loopcontrols"]).parse(_GENERATION.sub("", source))
    except (TemplateError, RecursionError, MemoryError) as error:
        raise CheckpointError(f"not a template ({error})") from None
    for node in tree.find_all((nodes.Mul, nodes.Pow, nodes.Mod, nodes.Getattr, nodes.Filter)):
        text_format = isinstance(node, nodes.Mod) and isinstance(getattr(node.left, "value", None), str)
        named = getattr(node, "attr", None) or getattr(node, "name", None)
        if isinstance(node, nodes.Mul | nodes.Pow) or text_format or named in _PADDING:
            raise CheckpointError(f"line {node.lineno} multiplies or pads texts, which could fill the memory")


@contextmanager
def bounded() -> Iterator[None]:
    """Within it, Python code that takes too long or too much memory raises CheckpointError at its next line."""
    begun, held, before = time.monotonic(), _resident(), sys.gettrace()
    events = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal events
        events += 1
        if events < 2000 or events % 64 == 0:
            if time.monotonic() > begun + SECONDS:
                raise CheckpointError(f"takes more than {SECONDS:g} s to render")
            if _resident() > held + GROWTH:
                raise CheckpointError(f"takes more than {GROWTH >> 20} MiB to render")
        return trace

    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


def _resident() -> int:
    """Bytes of this process that are resident; 0 where the system does not tell (it does on Linux)."""
    try:
        return 4096 * int(_STATM.read_bytes().split()[1])
    except OSError:
        return 0
