"""How a text of somebody else's (a row, a prompt, an answer, a name in a file) is shown: one rule for each output.

    visible       every output first: control characters and invisible ones that reorder or hide text, as escapes
    Markdown      `markdown`, `markdown_code`: report.md and model cards
    HTML          Jinja's autoescape over `visible`
    consoles      `common.progress.plain_console`, which shows `visible` texts and reads no markup
    errors        `common.errors.one_line`

Files of data (JSON, parquet, the answers of `chat` in a pipe) hold texts as they are; the CSV files that are written
(`curve.csv`) hold numbers alone.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

_JOINERS = "\u00ad\u200c\u200d\u200e\u200f\u061c"
"""Invisible, and needed to write Persian, Hindi, Arabic, Hebrew and emoji; none of them reorders what follows it."""
_SUSPECT = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\u00ad\u0600-\u206f\ud800-\udfff\ufe00-\uffff\U000e0000-\U000e0fff]"
)
_ACTIVE = re.compile(r"[\\`*\[\]<>|~$]|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;)|!(?=\[)")
_BLOCK = re.compile(r"^(#{1,6}(?=\s|$)|[-+=]+(?=\s|$)|-{3,}|={3,}|\d{1,9}(?=[.)](?:\s|$)))")
_LINK = re.compile(r"(?i)\b(?:[a-z][a-z0-9+.-]*:(?=//)|www(?=\.)|(?:javascript|data|vbscript|mailto|xmpp):)|@")


def visible(text: str) -> str:
    """The text with what cannot be seen as an escape (`\\x1b`, `\\u202e`); line feeds, tabs and joiners stay.

    Escaped are control characters (terminals obey them), the overrides and isolates that reorder text, lone halves of
    surrogate pairs (no encoding takes them), tags, fillers and separators that no reader sees. Applying it twice
    changes nothing.
    """
    if text.isascii() and text.isprintable():
        return text
    return _SUSPECT.sub(lambda found: _escape(found[0]), text)


def _escape(character: str) -> str:
    kind = unicodedata.category(character)
    if kind not in ("Cc", "Cf", "Cs", "Zl", "Zp") or character in _JOINERS:
        return character
    return character.encode("unicode_escape").decode()


def visible_everywhere(value: Any) -> Any:
    """JSON-like data with every text in it, keys too, made `visible`."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, Mapping):
        return {visible(key) if isinstance(key, str) else key: visible_everywhere(one) for key, one in value.items()}
    return [visible_everywhere(one) for one in value] if isinstance(value, list | tuple) else value


def markdown(text: str) -> str:
    """The text as Markdown (CommonMark and GitHub's) that shows it: in one line, no markup, no HTML, no link, nobody
    mentioned, in a cell of a table too.
    """
    line = " ".join(visible(text).split())
    line = _LINK.sub(lambda found: found[0][:-1] + f"&#{ord(found[0][-1])};", _ACTIVE.sub(_active, line))
    return _BLOCK.sub(lambda found: f"&#{ord(found[0][0])};{found[0][1:]}", line)


def _active(found: re.Match[str]) -> str:
    return {"<": "&lt;", ">": "&gt;", "&": "&amp;", "|": "&#124;", "$": "&#36;"}.get(found[0], f"\\{found[0]}")


def markdown_code(text: str) -> str:
    """The text as a span of code, within a fence longer than any run of backticks in it."""
    line = " ".join(visible(text).split())
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    space = " " if not line or "`" in (line[0], line[-1]) else ""
    return f"{fence}{space}{line}{space}{fence}"


def without_machine_paths(value: Any) -> Any:
    """JSON-like data as it may leave this machine: an absolute path keeps its last part, and the home folder inside
    other texts becomes `~`.
    """
    if isinstance(value, Mapping):
        return {key: without_machine_paths(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [without_machine_paths(one) for one in value]
    return _without_home(value) if isinstance(value, str) else value


def _without_home(text: str) -> str:
    if re.fullmatch(r"(?:/|~/|[A-Za-z]:[\\/])[^\n:]*", text):
        return re.split(r"[\\/]", text.rstrip("\\/"))[-1]
    home_folder = os.path.expanduser("~")  # noqa: PTH111  (Path.home() raises for a nameless user)
    for home in {home_folder, os.path.realpath(home_folder)} - {"/", "~"}:
        text = re.sub(rf"{re.escape(home)}(?![\w.-])", "~", text)
    return re.sub(r"(?<![\w/])/(?:home|Users)/[^/\s\"']+", "~", text)
