"""iLLaDA-8B-Instruct in its published layout, at toy width: bfloat16 shards with an index, no tensor of the tied head,
155,136 words, special ids at the front, a chat template in a file of its own, and no file that names the mask token.
"""

from __future__ import annotations

import json
import random
from functools import cache
from pathlib import Path

from tests.support.cendol_rows import sentence
from tests.support.evaluation import ILLADA_TEMPLATE, ILLADA_TOKENS
from tests.support.hub import published

NAME, WORDS = "GSAI-ML/iLLaDA-8B-Instruct", 155_136
CONFIG = Path(__file__).parents[2] / "oracle" / "illada" / "config.json"  # with the published fields
SHAPE = {
    "hidden_size": published.WIDTH, "num_hidden_layers": published.LAYERS, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 64, "vocab_size": WORDS, "torch_dtype": "bfloat16",
}  # fmt: skip


@cache
def base_files() -> dict[str, bytes]:
    fields = json.loads(CONFIG.read_text(encoding="utf-8")) | SHAPE
    index, shards = published.shards_of(fields)
    return {
        "README.md": b"# iLLaDA-8B-Instruct\n",
        "config.json": published.as_json(fields),
        "configuration_illada.py": published.REMOTE_CODE,
        "modeling_illada.py": published.REMOTE_CODE,
        "generation_config.json": published.as_json({"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}),
        "chat_template.jinja": ILLADA_TEMPLATE.encode(),
        "model.safetensors.index.json": index,
        **shards,
        **_tokenizer_files(),
    }


def _tokenizer_files() -> dict[str, bytes]:
    """Byte-level BPE behind the special tokens; words that no text makes fill the vocabulary."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    splitting = pre_tokenizers.ByteLevel(add_prefix_space=False)
    small = Tokenizer(models.BPE())
    small.pre_tokenizer = splitting  # pyright: ignore[reportAttributeAccessIssue]
    trainer = trainers.BpeTrainer(
        vocab_size=800,
        special_tokens=list(ILLADA_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    small.train_from_iterator([sentence(random.Random(seed), 20) for seed in range(200)], trainer)
    learned = json.loads(small.to_str())["model"]
    words = learned["vocab"]
    words |= {f"\u0120kosong{number}": number for number in range(len(words), WORDS)}
    tokenizer = Tokenizer(models.BPE(vocab=words, merges=[tuple(pair) for pair in learned["merges"]]))
    tokenizer.pre_tokenizer = splitting  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in ILLADA_TOKENS])
    begin, pad, end = ILLADA_TOKENS[:3]
    special = {"bos_token": begin, "eos_token": end, "pad_token": pad}
    return {
        "tokenizer.json": tokenizer.to_str().encode(),
        "tokenizer_config.json": published.as_json(special | {"tokenizer_class": "PreTrainedTokenizerFast"}),
        "special_tokens_map.json": published.as_json(special),
    }
