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

from data_prep.bundled.models.pretraining import Pretraining, Recipe
from data_prep.config import BundledConfig

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
    _provide(SHIPPED, fresh_recipe(config, seed), config, folder)


def provide_twin(config: BundledConfig, seed: int, folder: Path) -> None:
    """The same of the autoregressive twin, which has the base's tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    _provide(SHIPPED_TWIN, replace(fresh_recipe(config, seed), paradigm="causal"), config, folder)


def _provide(shipped: Path, recipe: Recipe, config: BundledConfig, folder: Path) -> None:
    if config.base == "shipped":
        for name in (*MODEL_FILES, *OPTIONAL_FILES):
            source = (SHIPPED if name in TOKENIZER_FILES else shipped) / name
            if name in MODEL_FILES or source.is_file():
                shutil.copyfile(source, folder / name)
        return
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        run = Pretraining(recipe, Path(work))
        run.train(config.base_steps)
        run.publish(folder)


def fresh_recipe(config: BundledConfig, seed: int) -> Recipe:
    """The first two cycles of the shipped base's recipe, shortened in proportion."""
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
