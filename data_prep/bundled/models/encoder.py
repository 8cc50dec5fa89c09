"""A small BERT text encoder, trained by contrast on the plain text, in a folder that sentence-transformers loads.

Two spans cropped from one paragraph should have similar vectors, spans of different paragraphs dissimilar ones
(independent cropping with in-batch negatives: Izacard et al., 2022, "Unsupervised Dense Information Retrieval with
Contrastive Learning", section 3.1). The sentence vector is the mean over a text's tokens. A few seconds of this
group texts by what they are about and how they are put, where a masked language model of this size needs minutes.
It stands in for IndoBERT.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from common.files import write_json
from common.progress import progress_bar
from data_prep.bundled.language.content import generator
from data_prep.config import BundledConfig

if TYPE_CHECKING:
    from transformers import BertModel, PreTrainedTokenizerFast

MAX_LENGTH = 512
"""Tokens the encoder reads at most, as BERT."""
TRAINED_LENGTH = 64
"""Tokens of a paragraph read in training. Position vectors begin at zero, so untrained ones are neutral."""
BATCH = 64
TEMPERATURE = 0.05
LEARNING_RATE = 1e-3
HEAD_WIDTH = 32
PAD, CLS, SEP, MASK = SPECIAL = ("[PAD]", "[CLS]", "[SEP]", "[MASK]")


def build_encoder(texts: list[str], config: BundledConfig, seed: int, folder: Path) -> None:
    """Train tokenizer and encoder on `texts` and save both to `folder` with sentence-transformers' module list."""
    tokenizer = uncased_tokenizer(texts, config.vocabulary)
    model = fresh_encoder(config, len(tokenizer), seed)
    train_encoder(model, tokenizer, texts, config.encoder_steps, seed)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    write_module_list(folder, config.encoder_width)


def uncased_tokenizer(texts: list[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Uncased byte-level BPE; WordPiece's trainer numbers its tokens differently in each process."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])  # type: ignore[assignment]
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)  # type: ignore[assignment]
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    ends = [(token, tokenizer.token_to_id(token)) for token in (CLS, SEP)]
    tokenizer.post_processor = processors.TemplateProcessing(  # type: ignore[assignment]
        single=f"{CLS} $A {SEP}", pair=f"{CLS} $A {SEP} $B:1 {SEP}:1", special_tokens=ends
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        cls_token=CLS,
        sep_token=SEP,
        mask_token=MASK,
        model_max_length=MAX_LENGTH,
        model_input_names=["input_ids", "attention_mask"],
    )


def fresh_encoder(config: BundledConfig, vocabulary: int, seed: int) -> BertModel:
    """Random weights from `seed`, position vectors zero; the global generator stays as it was."""
    from transformers import BertConfig, BertModel

    sizes = BertConfig(
        vocab_size=vocabulary,
        hidden_size=config.encoder_width,
        num_hidden_layers=config.encoder_layers,
        num_attention_heads=config.encoder_width // HEAD_WIDTH,
        intermediate_size=2 * config.encoder_width,
        max_position_embeddings=MAX_LENGTH,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BertModel(sizes)
    with torch.no_grad():
        model.embeddings.position_embeddings.weight.zero_()
    return model


def train_encoder(
    model: BertModel, tokenizer: PreTrainedTokenizerFast, texts: list[str], steps: int, seed: int
) -> list[float]:
    """Contrast two crops of each of `BATCH` random paragraphs per step; returns the loss of each step."""
    encoded: Any = tokenizer(texts, add_special_tokens=False, truncation=True, max_length=TRAINED_LENGTH)["input_ids"]
    rows = [list(row) for row in encoded if len(row) >= 8]
    marks: Any = tokenizer.convert_tokens_to_ids([CLS, SEP])
    first, last = marks
    model.train()
    parameters = [parameter for name, parameter in model.named_parameters() if not name.startswith("pooler")]
    optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=0.01, foreach=True)
    losses = []
    with progress_bar() as progress:
        task = progress.add_task("training the encoder", total=steps, note="")
        for step in range(steps):
            chance = generator(seed, "encoder", step)
            chosen = [chance.choice(rows) for _ in range(BATCH)]
            crops = [crop(row, chance) for _ in range(2) for row in chosen]
            vectors = mean_vectors(model, [[first, *row, last] for row in crops])  # (2B, D)
            similarity = vectors[:BATCH] @ vectors[BATCH:].T / TEMPERATURE  # (B, B)
            target = torch.arange(BATCH)
            loss = (F.cross_entropy(similarity, target) + F.cross_entropy(similarity.T, target)) / 2
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            for group in optimizer.param_groups:
                group["lr"] = LEARNING_RATE * min(1.0, (step + 1) / 20) * (1 - step / steps)
            optimizer.step()
            losses.append(loss.item())
            progress.update(task, advance=1, note=f"loss {losses[-1]:.2f}")
    model.eval()
    return losses


def crop(row: list[int], chance: random.Random) -> list[int]:
    """A contiguous span of 40 to 80 per cent of a paragraph."""
    length = max(4, int(len(row) * chance.uniform(0.4, 0.8)))
    start = chance.randint(0, len(row) - length)
    return row[start : start + length]


def mean_vectors(model: BertModel, rows: list[list[int]]) -> Tensor:
    """Unit vectors (B, D): the mean of the last hidden states over the real tokens."""
    ids = pad_rows(rows, 0)  # (B, L)
    attention = (ids != 0).long()
    hidden = model(input_ids=ids, attention_mask=attention).last_hidden_state  # (B, L, D)
    weights = attention[..., None].to(hidden.dtype)
    return F.normalize((hidden * weights).sum(dim=1) / weights.sum(dim=1), dim=-1)


def pad_rows(rows: list[list[int]], pad_id: int) -> Tensor:
    """Right-padded (B, L) int64."""
    width = max(map(len, rows))
    return torch.tensor([row + [pad_id] * (width - len(row)) for row in rows])


def write_module_list(folder: Path, width: int) -> None:
    """What sentence-transformers reads: a transformer, then the mean over the real tokens."""
    write_json(
        folder / "modules.json",
        [
            {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        ],
    )
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": MAX_LENGTH, "do_lower_case": False})
    write_json(
        folder / "1_Pooling" / "config.json",
        {
            "word_embedding_dimension": width,
            "pooling_mode_cls_token": False,
            "pooling_mode_mean_tokens": True,
            "pooling_mode_max_tokens": False,
            "pooling_mode_mean_sqrt_len_tokens": False,
        },
    )
