"""The small LLaDA base, in the published folder layout (config.json, model.safetensors, tokenizer files).

It stands in for a published base. Like one, it has read plain text and has never been taught to answer. The one that
ships with the project (`data_prep/bundled/base`) was trained once by the recipe in `pretraining.py`; a fresh one is
made by the same recipe in fewer steps.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from data_prep.config import BundledConfig

if TYPE_CHECKING:
    from data_prep.bundled.models.pretraining import Recipe

SHIPPED = Path(__file__).parents[1] / "base"
SHIPPED_TWIN = Path(__file__).parents[1] / "twin"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
"""Which the twin shares with the base."""
MODEL_FILES = ("config.json", "model.safetensors", *TOKENIZER_FILES)
OPTIONAL_FILES = ("generation_config.json",)
"""Which transformers writes for a model that it can generate with."""


def provide_base(config: BundledConfig, seed: int, folder: Path) -> None:
    """Copy the shipped base to `folder`, or pretrain one from `seed` and save it there."""
    folder.mkdir(parents=True, exist_ok=True)
    if config.base == "shipped":
        _copy(SHIPPED, folder)
    else:
        _pretrain(fresh_recipe(config, seed), folder)


def provide_twin(config: BundledConfig, seed: int, folder: Path) -> None:
    """The same of the autoregressive twin, which has the base's tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    if config.base == "shipped":
        _copy(SHIPPED_TWIN, folder)
    else:
        _pretrain(replace(fresh_recipe(config, seed), paradigm="causal"), folder)


def _copy(shipped: Path, folder: Path) -> None:
    for name in (*MODEL_FILES, *OPTIONAL_FILES):
        source = (SHIPPED if name in TOKENIZER_FILES else shipped) / name
        if name in MODEL_FILES or source.is_file():
            shutil.copyfile(source, folder / name)


def _pretrain(recipe: Recipe, folder: Path) -> None:
    from data_prep.bundled.models.pretraining import Pretraining

    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        run = Pretraining(recipe, Path(work))
        run.train(recipe.all_steps)
        run.publish(folder)


def fresh_recipe(config: BundledConfig, seed: int) -> Recipe:
    """The first two cycles of the shipped base's recipe, shortened in proportion."""
    from data_prep.bundled.models.pretraining import Recipe  # which imports the network: seconds

    return Recipe(
        seed=seed,
        vocabulary=config.vocabulary,
        width=config.base_width,
        layers=config.base_layers,
        heads=config.base_heads,
        mlp_width=config.base_mlp_width,
        documents=min(Recipe.documents, max(200, config.rows)),
        steps=config.base_steps - config.base_steps // 3,
        second_steps=config.base_steps // 3,
        third_steps=0,
        fourth_steps=0,
        warmup_steps=min(Recipe.warmup_steps, config.base_steps // 4 + 1),
        moderate_steps=config.base_steps // 6,
        decay_steps=config.base_steps // 4,
    )
