"""What ships with the project beside the base: the sentence encoder (`data_prep/bundled/encoder`).

It was trained once by the recipe in `encoder.py`: its bytes differ between one thread and two and between processors,
and with them the clusters and which rows are drawn; and a copy takes no time. Nothing here imports torch.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from data_prep.config import BundledConfig

SHIPPED_ENCODER = Path(__file__).parents[1] / "encoder"
ENCODER_FILES = (
    "1_Pooling/config.json",
    "config.json",
    "model.safetensors",
    "modules.json",
    "sentence_bert_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
)


def provide_encoder(config: BundledConfig, seed: int, folder: Path) -> None:
    """Copy the shipped encoder to `folder`, or train one from `seed` on plain text and save it there."""
    if config.encoder == "shipped":
        for name in ENCODER_FILES:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(SHIPPED_ENCODER / name, folder / name)
        return
    from data_prep.bundled.instructions.corpus import plain_texts
    from data_prep.bundled.models.encoder import build_encoder

    build_encoder(texts=plain_texts(config=config, seed=seed), config=config, seed=seed, folder=folder)
