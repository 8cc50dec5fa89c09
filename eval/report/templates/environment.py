"""The templates' environment, which holds the one rule by which each kind of page shows somebody else's text.

Every expression of a template passes `visible`, and then HTML's or Markdown's escaping (`common.escaping`); what is
meant as markup is a `Markup`.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.escaping import markdown, markdown_code, visible, visible_everywhere
from common.files import read_json

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent


@cache
def environment() -> Environment:
    """For templates that end in `.html.j2` and `.md.j2`."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_eval_context
    from jinja2.nodes import EvalContext
    from markupsafe import Markup

    @pass_eval_context
    def shown(context: EvalContext, value: Any) -> Any:
        if isinstance(value, Markup):
            return value
        if context.autoescape:
            return visible(value) if isinstance(value, str) else value
        return markdown(str(value))

    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=lambda name: name is not None and name.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=shown,
    )
    made.filters["plain"] = lambda section: visible_everywhere(asdict(section))
    made.filters["code"] = lambda text: Markup(markdown_code(str(text)))
    # our own files, not data: they go into the page as they are
    made.globals["stylesheet"] = Markup((TEMPLATES / "report.css").read_text(encoding="utf-8"))
    made.globals["words"] = read_json(TEMPLATES / "indonesian.json")
    made.globals["script"] = Markup((TEMPLATES / "report.js").read_text(encoding="utf-8"))
    return made
