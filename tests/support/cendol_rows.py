"""Small tables in Cendol v2's columns for the tests of the data stages, and a tiny random BERT to embed them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data_prep.rows.text import COLUMNS

SYLLABLES = ("ka", "ri", "mo", "tu", "sa", "le", "ba", "ni", "pu", "go", "da", "wi", "ju", "ro", "te", "ma")
POEM_TEMPLATES = (
    "Silakan ciptakan puisi yang indah",
    "Yuk, bikin puisi yang bermakna!",
    "Coba tulis puisi yang kece, ya?",
)


def word(rng: random.Random) -> str:
    return "".join(rng.choice(SYLLABLES) for _ in range(rng.randint(2, 4)))


def sentence(rng: random.Random, length: int) -> str:
    """Random words: two sentences share next to nothing."""
    return " ".join(word(rng) for _ in range(length))


def row(subset: str, template: str, given: str | None, answer: str | None) -> dict[str, str | None]:
    return {
        "dataset_name": "nusa_t2t_v2", "subset_name": subset, "prompt_id": template, "template_name": template,
        "dataset_key": "train", "input": given, "output": answer,
    }  # fmt: skip


def article_rows(count: int, seed: int = 0) -> list[dict[str, str | None]]:
    """`count` articles, each asked for through two templates: one answer, two rows."""
    rng = random.Random(seed)
    rows = []
    for _ in range(count):
        title, text = sentence(rng, 3), sentence(rng, 24)
        rows.append(row("wikipedia_id", "wikipedia_section_0", f"Apa yang kamu ketahui tentang {title}?", text))
        rows.append(row("wikipedia_id", "wikipedia_section_2", f"{title} itu apa sih?", text))
    return rows


def poem_rows(count: int, seed: int = 1) -> list[dict[str, str | None]]:
    """`count` poems, each behind three constant prompts and once as the question for its title."""
    rng = random.Random(seed)
    rows = []
    for _ in range(count):
        poem = "\n".join(sentence(rng, 4) for _ in range(4))
        for number, prompt in enumerate(POEM_TEMPLATES):
            rows.append(
                row("indo_puisi", f"indopuisi_{number}", prompt, f"Ini dia puisi nomor {number} untukmu: {poem}")
            )
        title = row(
            "indo_puisi", "indo_puisi_template_1", f"Apa judul yang tepat untuk puisi berikut:\n{poem}", "Pantun"
        )
        rows.append(title)
    return rows


def question_rows(count: int, seed: int = 2) -> list[dict[str, str | None]]:
    rng = random.Random(seed)
    return [
        row("dolly", "dolly_closed_qa", f"{sentence(rng, 6)}?\n\n{sentence(rng, 30)}", sentence(rng, 2))
        for _ in range(count)
    ]


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    schema = pa.schema([(name, pa.string()) for name in COLUMNS])
    pq.write_table(pa.Table.from_pylist(list(rows), schema), path)
    return path


def write_encoder(folder: Path, width: int = 32) -> Path:
    """A random BERT with a character-level WordPiece tokenizer."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    characters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    names = [*special, *characters, *(f"##{character}" for character in characters)]
    tokenizer = Tokenizer(models.WordPiece({name: number for number, name in enumerate(names)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.post_processor = processors.TemplateProcessing(  # pyright: ignore[reportAttributeAccessIssue]
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names_of = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=512, **names_of).save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=len(names), hidden_size=width, num_hidden_layers=2, num_attention_heads=2,
            intermediate_size=2 * width, max_position_embeddings=512,
        )  # fmt: skip
        BertModel(config).save_pretrained(folder)
    return folder
