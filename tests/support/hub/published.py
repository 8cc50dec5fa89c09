"""The three repositories of the full recipe in their published layout, at toy width, under their published names.

LLaDA-8B-Instruct: bfloat16 in six shards with an index, 126,464 words with the published special ids, code that nobody
may run. IndoBERT: a vocabulary and pickled weights of torch's old format, no safetensors, a configuration of more words
than the tokenizer has. Cendol v2: 23 parquet shards with subsets of other languages, copies and nulls.
"""

from __future__ import annotations

import io
import json
import random
from functools import cache
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data_prep.rows.text import COLUMNS
from llada import chat_format as chat
from tests.support.cendol_rows import SYLLABLES, article_rows, poem_rows, question_rows, row, sentence
from tests.support.hub.server import Repository
from tests.unit.llada.network.test_configuration import PUBLISHED

BASE, ENCODER, DATASET = "GSAI-ML/LLaDA-8B-Instruct", "indobenchmark/indobert-base-p1", "indonlp/cendol_collection_v2"
WIDTH, LAYERS, BASE_SHARDS, DATA_SHARDS = 32, 2, 6, 23
WORDS, FIRST_ADDED = 126_464, 126_080
SPECIAL = {
    126080: chat.BOS_TOKEN, 126081: chat.EOS_TOKEN, 126082: "[CLS]", 126336: chat.MASK_TOKEN,
    126346: chat.START_HEADER_TOKEN, 126347: chat.END_HEADER_TOKEN, 126348: chat.EOT_TOKEN,
}  # fmt: skip
REMOTE_CODE = b"raise RuntimeError('the code of a checkpoint is never run')\n"
SHAPE = {"d_model": WIDTH, "n_layers": LAYERS, "n_heads": 2, "n_kv_heads": 2, "mlp_hidden_size": 64}


def published(base: str = BASE) -> tuple[Repository, Repository, Repository]:
    """Base, encoder and data set; any LLaDA-8B under its name, or iLLaDA-8B under its own."""
    from tests.support.hub import illada

    files = illada.base_files() if base == illada.NAME else base_files()
    return (
        Repository.of(base, dict(files)),
        Repository.of(ENCODER, dict(encoder_files())),
        Repository.of(DATASET, dict(dataset_files()), "dataset"),
    )


@cache
def base_files() -> dict[str, bytes]:
    fields = PUBLISHED | SHAPE
    index, shards = shards_of(fields)
    return {
        ".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n",
        "README.md": b"# LLaDA-8B-Instruct\n",
        "config.json": as_json(fields),
        "configuration_llada.py": REMOTE_CODE,
        "modeling_llada.py": REMOTE_CODE,
        "generation_config.json": as_json({"_from_model_config": True, "eos_token_id": 126081}),
        "model.safetensors.index.json": index,
        **shards,
        **_tokenizer_files(),
    }


def shards_of(fields: dict[str, Any]) -> tuple[bytes, dict[str, bytes]]:
    """The index, and six files of random bfloat16 weights."""
    import torch
    from safetensors.torch import save

    from llada.network.checkpoint import published_shapes
    from llada.network.configuration import config_class

    generator = torch.Generator().manual_seed(0)
    shapes = published_shapes(config_class(fields)(**fields))
    tensors = {
        name: (torch.randn(shape, generator=generator) * 0.1 + ("norm" in name or "ln_f" in name)).bfloat16()
        for name, shape in shapes.items()
    }
    files = [f"model-{number:05d}-of-{BASE_SHARDS:05d}.safetensors" for number in range(1, BASE_SHARDS + 1)]
    placed = {name: files[number % BASE_SHARDS] for number, name in enumerate(sorted(tensors))}
    shards = {
        file: save({name: tensors[name] for name, place in placed.items() if place == file}, {"format": "pt"})
        for file in files
    }
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    return as_json({"metadata": {"total_size": size}, "weight_map": placed}), shards


def _tokenizer_files() -> dict[str, bytes]:
    """Byte-level BPE: words learned on a few sentences, names that no text makes up to 126,079, then the added ones."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    splitting = pre_tokenizers.ByteLevel(add_prefix_space=False)
    small = Tokenizer(models.BPE())
    small.pre_tokenizer = splitting  # pyright: ignore[reportAttributeAccessIssue]
    trainer = trainers.BpeTrainer(
        vocab_size=800, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    small.train_from_iterator([sentence(random.Random(seed), 20) for seed in range(200)], trainer)
    learned = json.loads(small.to_str())["model"]
    vocabulary = learned["vocab"]
    vocabulary |= {f"\u0120kosong{number}": number for number in range(len(vocabulary), FIRST_ADDED)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[tuple(pair) for pair in learned["merges"]]))
    tokenizer.pre_tokenizer = splitting  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    names = [SPECIAL.get(number, f"<|reserved_token_{number}|>") for number in range(FIRST_ADDED, max(SPECIAL) + 1)]
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in names])
    settings = {
        "add_bos_token": False, "add_eos_token": False, "bos_token": chat.BOS_TOKEN, "eos_token": chat.EOS_TOKEN,
        "pad_token": chat.EOS_TOKEN, "cls_token": "[CLS]", "chat_template": chat.CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False, "model_max_length": 10**30, "fast_tokenizer": True,
        "tokenizer_class": "PreTrainedTokenizerFast", "trust_remote_code": True,
    }  # fmt: skip
    special = {name: settings[name] for name in ("bos_token", "eos_token", "pad_token", "cls_token")}
    return {
        "tokenizer.json": tokenizer.to_str().encode(),
        "tokenizer_config.json": as_json(settings),
        "special_tokens_map.json": as_json(special),
    }


@cache
def encoder_files() -> dict[str, bytes]:
    import torch
    from transformers import BertConfig, BertModel

    sizes = {
        "hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
        "max_position_embeddings": 512, "vocab_size": 50_000, "type_vocab_size": 2,
    }  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = BertModel(BertConfig(**sizes)).state_dict()
    weights = io.BytesIO()
    torch.save(state, weights, _use_new_zipfile_serialization=False)  # as torch wrote in 2020
    settings = {
        "_num_labels": 5, "architectures": ["BertModel"], "bos_token_id": 0, "directionality": "bidi",
        "do_sample": False, "eos_token_ids": 0, "finetuning_task": None, "hidden_act": "gelu", "is_decoder": False,
        "length_penalty": 1.0, "max_length": 20, "model_type": "bert", "num_beams": 1, "num_labels": 5,
        "output_past": True, "pad_token_id": 0, "pruned_heads": {}, "repetition_penalty": 1.0, "temperature": 1.0,
        "torchscript": False, "use_bfloat16": False,
    }  # fmt: skip
    return {
        "README.md": b"# IndoBERT\n",
        "config.json": as_json(settings | sizes),
        "pytorch_model.bin": weights.getvalue(),
        "tf_model.h5": b"\x89HDF\r\n\x1a\n of no use here",
        "special_tokens_map.json": as_json({"unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]",
                                          "cls_token": "[CLS]", "mask_token": "[MASK]"}),
        "tokenizer_config.json": as_json({"do_lower_case": True}),
        "vocab.txt": "\n".join(_wordpieces()).encode() + b"\n",
    }  # fmt: skip


def _wordpieces() -> list[str]:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    characters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    pieces = [*characters, *SYLLABLES]
    known = [*special, *pieces, *(f"##{piece}" for piece in pieces)]
    return known + [f"[unused{number}]" for number in range(30_521 - len(known))]


@cache
def dataset_files() -> dict[str, bytes]:
    shards = {
        f"data/train-{number:05d}-of-{DATA_SHARDS:05d}.parquet": _parquet(_rows(number))
        for number in range(DATA_SHARDS)
    }
    return {".gitattributes": b"*.parquet filter=lfs\n", "README.md": b"---\nlicense: apache-2.0\n---\n", **shards}


def _rows(shard: int) -> list[dict[str, str | None]]:
    """Rows of every kind in each shard, those of other languages too; copies of the safety and identity rows."""
    rng = random.Random(shard)
    told = [sentence(rng, 12) for _ in range(8)]
    return [
        *article_rows(8, seed=100 + shard),
        *poem_rows(2, seed=200 + shard),
        *question_rows(6, seed=300 + shard),
        *(row("wikihow", "wikihow_0", f"Bagaimana cara {text}?", sentence(rng, 30)) for text in told),
        *(row("safety_prompt", "safety_prompt", f"Bolehkah {word}?", f"Tidak, {word}.") for word in SYLLABLES[:3]),
        *(row("identity_prompt", "identity_prompt", f"Siapa {word}?", f"Saya {word}.") for word in SYLLABLES[:3]),
        *(row("wikipedia_jv", "wikipedia_section_0", f"Apa iku {text}?", sentence(rng, 20)) for text in told),
        row("wikipedia_id", "wikipedia_section_1", None, None),
    ]


def _parquet(rows: list[dict[str, str | None]]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, pa.schema([(name, pa.string()) for name in COLUMNS])), sink)
    return sink.getvalue()


def as_json(value: Any) -> bytes:
    return json.dumps(value, indent=1).encode()
