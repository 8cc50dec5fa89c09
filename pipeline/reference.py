"""The configuration reference, generated from the models: python -m pipeline.reference > docs/configuration.md"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator
from typing import Any

from pydantic_core import PydanticUndefined

from adapters.config import MethodConfig, ModelConfig
from common.section import attribute_docstrings
from data_prep.config import BundledConfig, DataConfig, LeakageConfig, QualityConfig
from eval.config import EvaluationConfig
from llada.sampling.settings import SamplerConfig
from training.config import TrainConfig

SECTIONS: tuple[tuple[str, Any], ...] = (
    ("data", DataConfig),
    ("data.quality", QualityConfig),
    ("data.leakage", LeakageConfig),
    ("data.embedded", BundledConfig),
    ("model", ModelConfig),
    ("train", TrainConfig),
    ("methods.<M>", MethodConfig),
    ("sampling", SamplerConfig),
    ("evaluation", EvaluationConfig),
)
INTRODUCTION = """# Configuration reference

Generated from the models by `python -m pipeline.reference`; a test keeps this page and the code equal.

A profile is one YAML file under `configs/`; `params.yaml` chooses the profile that `dvc repro` runs. Any key can be
overridden for one command with `--set KEY=VALUE`, dotted (`--set train.learning_rate=1e-4`). Unknown keys are
refused, with a suggestion.

At the top: `name` (the profile's name and its artefacts' folder), `seed` (the only seed; every random draw is derived
from it), `language` (`en` or `id`: of the report's frame, the chat page and the terminal chat), and the sections below.
`methods` holds one section per adapter: `lora`, `loraplus`, `pissa`, and also `rslora`, `dora`, `loraplus_pissa`,
`olora`, `eva`, `corda`, `lora_ga`, `miss`, `gralora`, `hira`. A method without a section takes rank, targets, dropout
and scaling of `lora`, see `docs/method.md`.
`twin` is `null`, or the section of an autoregressive base, with the keys of `model` but for the token ids, which are
not read; its adapters are `ar-lora`, `ar-loraplus` and `ar-pissa` under `methods`.
"""


def reference() -> str:
    """The whole page as Markdown."""
    return "\n".join([INTRODUCTION, *(line for name, model in SECTIONS for line in _section(name, model))]) + "\n"


def _section(name: str, model: Any) -> Iterator[str]:
    yield from (
        f"## `{name}`",
        "",
        (model.__doc__ or "").strip().splitlines()[0],
        "",
        "| key | type | default | meaning |",
        "|---|---|---|---|",
    )
    for key, annotation, default, description in _rows(model):
        yield f"| `{key}` | {_type(annotation)} | {default} | {_cell(description)} |"
    yield ""


def _rows(model: Any) -> Iterator[tuple[str, Any, str, str]]:
    if dataclasses.is_dataclass(model):
        hints = typing.get_type_hints(model)
        descriptions = attribute_docstrings(model)
        for field in dataclasses.fields(model):
            _, _, limits = SamplerConfig.RANGES.get(field.name, (None, None, ""))
            words = descriptions[field.name] + (f" ({limits})" if limits else "")
            yield field.name, hints[field.name], _value(field.default), words
        return
    for key, field in model.model_fields.items():
        if isinstance(field.annotation, type) and field.annotation in (QualityConfig, LeakageConfig, BundledConfig):
            yield key, "section", "", f"see `{'data.' + key}` below"
        else:
            default = field.get_default(call_default_factory=True)
            limits = ", ".join(_limit(entry) for entry in field.metadata if _limit(entry))
            yield key, field.annotation, _value(default), (field.description or "") + (f" ({limits})" if limits else "")


def _limit(constraint: Any) -> str:
    signs = {"Ge": ("ge", "at least"), "Gt": ("gt", "above"), "Le": ("le", "at most"), "Lt": ("lt", "below")}
    attribute, words = signs.get(type(constraint).__name__, ("", ""))
    return f"{words} {getattr(constraint, attribute)}" if attribute else ""


def _type(annotation: Any) -> str:
    if isinstance(annotation, str):
        return annotation
    text = annotation.__name__ if isinstance(annotation, type) and not typing.get_args(annotation) else str(annotation)
    text = text.replace("typing.", "").replace("NoneType", "null").replace("None", "null")
    if text.startswith("Literal["):
        return _cell(", ".join(f"`{choice}`" for choice in typing.get_args(annotation)))
    return _cell(f"`{text}`")


def _value(default: Any) -> str:
    if default is PydanticUndefined or default is dataclasses.MISSING:
        return "required"
    if default is None:
        return "`null`"
    if isinstance(default, tuple):
        return f"`[{', '.join(map(str, default))}]`"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(reference(), end="")
