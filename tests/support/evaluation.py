"""For the tests of the evaluation: a few answers, and a tiny base folder and test split made on the spot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from eval.metrics import METRICS
from eval.metrics.statistics import Array

CITIES = ["Jakarta", "Bandung", "Surabaya", "Medan", "Semarang", "Makassar", "Palembang", "Denpasar", "Padang", "Ambon"]
SUBSETS = ["wikipedia_id", "dolly", "wikihow"]
ANSWERS = [
    "Ibu kota Indonesia adalah Jakarta.",
    "Saya makan nasi goreng di warung",
    "",
    "yang dan di yang dan di yang dan di",
    "Gunung Semeru terletak di Jawa Timur, tingginya 3.676 meter.",
]
REFERENCES = [
    "Ibu kota negara Indonesia adalah Jakarta.",
    "Mereka memakan nasi uduk di rumah makan",
    "Tidak ada jawaban.",
    "Air mendidih pada suhu seratus derajat.",
    "Gunung Semeru berada di Provinsi Jawa Timur dan tingginya 3.676 meter.",
]
PROMPTS = [
    "Apa ibu kota Indonesia?",
    "Apa yang dimakan?",
    "Jawab!",
    "Kapan air mendidih di permukaan laut?",
    "Di mana Semeru?",
]


def total(statistics: dict[str, Array], key: str) -> float:
    return float(METRICS[key].reduce(statistics[key].sum(axis=0)))


def example(index: int) -> tuple[str, str]:
    city = CITIES[index % len(CITIES)]
    if index % 3 == 0:
        return f"Di pulau mana kota {city} berada?", f"Kota {city} berada di Indonesia, tepatnya di pulau yang besar."
    if index % 3 == 1:
        return f"Tulis kalimat tentang {city} nomor {index}.", f"{city} adalah kota yang ramai dan indah."
    return (
        f"Bagaimana cara pergi ke {city} pada hari ke-{index}?",
        f"Naik kereta api atau bus menuju {city}. Pesan tiket.",
    )


def byte_level(special_tokens: Sequence[str]) -> Any:
    """A byte-level tokenizer that knows these first and then the examples."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=list(special_tokens),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([text for index in range(60) for text in example(index)], trainer)
    return tokenizer


def write_tiny_base(folder: Path) -> Path:
    """A byte-level tokenizer with LLaDA's special tokens, and a LLaDA of 2 layers with weights from a fixed seed."""
    import torch
    from transformers import PreTrainedTokenizerFast

    from llada import LLaDAConfig, LLaDAModelLM
    from llada.chat_format import BOS_TOKEN, CHAT_TEMPLATE, EOS_TOKEN, MASK_TOKEN, SPECIAL_TOKENS

    fast = PreTrainedTokenizerFast(
        tokenizer_object=byte_level(SPECIAL_TOKENS),
        bos_token=BOS_TOKEN,
        eos_token=EOS_TOKEN,
        pad_token=EOS_TOKEN,
        mask_token=MASK_TOKEN,
    )
    fast.chat_template = CHAT_TEMPLATE
    fast.save_pretrained(folder)
    ids = {token: int(fast.convert_tokens_to_ids(token)) for token in SPECIAL_TOKENS}
    config = LLaDAConfig(
        d_model=32,
        n_layers=2,
        n_heads=2,
        mlp_hidden_size=64,
        vocab_size=len(fast),
        max_sequence_length=512,
        mask_token_id=ids[MASK_TOKEN],
        eos_token_id=ids[EOS_TOKEN],
        pad_token_id=ids[EOS_TOKEN],
        bos_token_id=ids[BOS_TOKEN],
        eot_token_id=ids["<|eot_id|>"],
        init_std=0.3,
        init_fn="normal",
    )
    torch.manual_seed(0)
    LLaDAModelLM(config).save_pretrained(folder)
    return folder


ILLADA_TOKENS = ("<[begin]>", "<[pad]>", "<[end]>", "<[cls]>", "<[sep]>", "<[mask]>")
"""The first ids, as iLLaDA has them: 0 begin, 1 pad, 2 end, 5 mask."""
ILLADA_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{- bos_token + message['role'] + '\n' + message['content'] + eos_token -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- bos_token + 'assistant\n' -}}{%- endif -%}"
)


def write_tiny_illada(folder: Path) -> Path:
    """A base in iLLaDA's published layout: its mask token, 5, stands in no file, its chat form in its template."""
    import json

    import torch
    from transformers import PreTrainedTokenizerFast

    from llada.network.configuration import ILLaDAConfig
    from llada.network.modeling import network_of

    begin, pad, end, *others = ILLADA_TOKENS
    fast = PreTrainedTokenizerFast(
        tokenizer_object=byte_level(ILLADA_TOKENS),
        bos_token=begin,
        eos_token=end,
        pad_token=pad,
        additional_special_tokens=others,
    )
    fast.chat_template = ILLADA_TEMPLATE
    fast.save_pretrained(folder)
    config = ILLaDAConfig(
        vocab_size=len(fast),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.1,
        eos_token_id=2,
        pad_token_id=1,
        bos_token_id=0,
    )
    torch.manual_seed(0)
    network_of(config).save_pretrained(folder)
    fields = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({k: v for k, v in fields.items() if k != "mask_token_id"}))
    return folder


BASES = {"llada": write_tiny_base, "illada": lambda folder: name_mask_token(write_tiny_illada(folder))}
"""A tiny base of either kind that needs no setting."""


def name_mask_token(base: Path) -> Path:
    import json

    fields = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(fields | {"mask_token_id": 5}))
    return base


def write_tiny_twin(folder: Path, base: Path) -> Path:
    """A causal Llama of 2 layers from a fixed seed, with the tokenizer of `base`."""
    import shutil

    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from llada.chat_format import load_tokenizer

    config = LlamaConfig(
        vocab_size=len(load_tokenizer(base)),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=512,
        initializer_range=0.3,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)
    for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copyfile(base / file, folder / file)
    return folder


def write_test_split(path: Path, base: Path, rows: int) -> Path:
    """A formatted test split with the columns that the format stage writes."""
    from llada.chat_format import encode_example, load_tokenizer

    tokenizer = load_tokenizer(base)
    table = []
    for index in range(rows):
        prompt, answer = example(index)
        input_ids, prompt_length = encode_example(tokenizer, prompt, answer)
        table.append(
            {
                "id": f"item-{index:03d}",
                "subset_name": SUBSETS[index % 3],
                "template_name": f"template_{index % 5}",
                "cluster": index % 4,
                "prompt": prompt,
                "answer": answer,
                "input_ids": input_ids,
                "prompt_length": prompt_length,
                "truncated": False,
            }
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(table), path)
    return path
