"""The small LLaDA base: pretrained from scratch on plain text with the project's own masked-diffusion loss.

It stands in for a published base, in the published folder layout (config.json, model.safetensors, tokenizer
files). Like one, it has read plain text and has never been taught to answer. It knows the conversation's special
tokens as marks inside documents: many a paragraph is cut in two, its beginning in the user's place and its
continuation in the assistant's. LoRA trains neither embeddings nor head, so an adapter could not learn tokens that the
base had never seen; and a base that has never looked from one turn to the other has nothing to adapt.

What two cores do in two minutes: some 80 to 100 GFLOP/s in float32, 6 FLOP per weight and token, 1.3 M weights in the
blocks and as many again in the head where it is asked: about a million tokens. Hence few layers, short windows, small
batches and many steps, logits at masked positions alone, and starting weights that know what attention is for.
"""

from __future__ import annotations

import math
import random
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from common.progress import progress_bar
from data_prep.bundled.language.content import generator
from data_prep.bundled.models.initialisation import initialise
from data_prep.config import BundledConfig
from llada.chat_format import (
    BOS_TOKEN,
    EOS_TOKEN,
    EOT_TOKEN,
    MASK_TOKEN,
    encode_example,
    load_tokenizer,
    special_token_id,
)
from llada.diffusion.loss import masked_diffusion_loss
from llada.diffusion.noise import noise_levels, noise_mask
from llada.network.configuration import LLaDAConfig
from llada.network.modeling import LLaDAModelLM

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

WINDOW = 64
"""Tokens per training row (L)."""
BATCH = 4
MAX_SEQUENCE_LENGTH = 4096
ROPE_THETA = 10000.0
"""The published 500000 would leave half of the few dimensions unable to tell two places of a window apart."""
ENVELOPE_SHARE = 0.6
END_RUN = 12
"""At most so many end-of-text tokens follow a document, as where a published base was padded."""
LEARNING_RATE = 1.2e-3
HEAD_LEARNING_RATE = 5e-3
EMBEDDING_LEARNING_RATE = 1e-2
"""Each token's vectors are updated only when the token occurs."""
WARMUP_STEPS = 50
CONSTANT_SHARE = 0.4
"""Share of the steps before the learning rate falls, and in which noise is moderate."""
MODERATE_NOISE = (0.2, 0.7)
"""Mask probabilities at first: with less noise nothing is asked, with more there is no context to learn from."""
BETAS = (0.9, 0.98)
WEIGHT_DECAY = 0.02

SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
Document = tuple[list[int], list[bool]]
"""Token ids, and which of them were given (the user's turn)."""


def build_base(texts: list[str], config: BundledConfig, tokenizer_folder: Path, seed: int, folder: Path) -> None:
    """Pretrain on `texts` and save model and tokenizer to `folder`."""
    tokenizer = load_tokenizer(tokenizer_folder)
    model = fresh_model(config, tokenizer, seed)
    pretrain(model, documents_of(texts, tokenizer, seed), config.base_steps, seed)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def fresh_model(config: BundledConfig, tokenizer: PreTrainedTokenizerFast, seed: int) -> LLaDAModelLM:
    """Random weights from `seed`; the global generator stays as it was."""
    sizes = LLaDAConfig(
        d_model=config.base_width,
        n_layers=config.base_layers,
        n_heads=config.base_heads,
        mlp_hidden_size=config.base_mlp_width,
        vocab_size=len(tokenizer),
        max_sequence_length=MAX_SEQUENCE_LENGTH,
        mask_token_id=_token_id(tokenizer, MASK_TOKEN),
        eos_token_id=_token_id(tokenizer, EOS_TOKEN),
        pad_token_id=_token_id(tokenizer, EOS_TOKEN),
        bos_token_id=_token_id(tokenizer, BOS_TOKEN),
        eot_token_id=_token_id(tokenizer, EOT_TOKEN),
        rope_theta=ROPE_THETA,
        init_fn="normal",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LLaDAModelLM(sizes)
        initialise(model)
    return model


def documents_of(texts: list[str], tokenizer: PreTrainedTokenizerFast, seed: int) -> list[Document]:
    """Each text as a document: plain, or cut in two at the end of a sentence, in the conversation's envelope."""
    chance = generator(seed, "documents")
    return [_document(text, tokenizer, chance) for text in texts]


def _document(text: str, tokenizer: PreTrainedTokenizerFast, chance: random.Random) -> Document:
    bos, eos = _token_id(tokenizer, BOS_TOKEN), _token_id(tokenizer, EOS_TOKEN)
    sentences = SENTENCE_END.split(text)
    if len(sentences) > 1 and chance.random() < ENVELOPE_SHARE:
        cut = chance.randint(1, len(sentences) // 2)
        ids, given = encode_example(tokenizer, " ".join(sentences[:cut]), " ".join(sentences[cut:]))
    else:
        ids, given = [bos, *list(tokenizer.encode(text, add_special_tokens=False))], 0
    ends = 1 if chance.random() < 0.6 else chance.randint(2, END_RUN)
    return [*ids, *[eos] * ends], [place < given for place in range(len(ids) + ends)]


def pretrain(model: LLaDAModelLM, documents: list[Document], steps: int, seed: int) -> list[float]:
    """Train on windows that begin with a document; returns the loss of each step.

    The loss is the plain mean of the masked tokens' cross-entropy, without the weight 1/t: the minimum is the same and
    the gradient of a batch of four rows much less noisy. In every other row the user's turn stays visible.
    """
    model.train()
    optimizer = torch.optim.AdamW(_parameter_groups(model), betas=BETAS, fused=True)
    rows, ones = range(BATCH), torch.ones(BATCH)
    every_other = torch.arange(BATCH)[:, None] % 2 == 0
    losses = []
    with progress_bar() as progress:
        task = progress.add_task("pretraining the base", total=steps, note="")
        for step, firsts in enumerate(first_documents(len(documents), steps, seed)):
            windows = [window(documents, first) for first in firsts]
            ids = torch.tensor([tokens for tokens, _ in windows])  # (B, L)
            maskable = ~(torch.tensor([given for _, given in windows]) & every_other)
            low, high = MODERATE_NOISE if step < CONSTANT_SHARE * steps else (0.0, 1.0)
            t = low + (high - low) * noise_levels(seed, step, rows, global_batch_size=BATCH)
            mask = noise_mask(seed, step, rows, maskable, t)
            loss = masked_diffusion_loss(model, ids, maskable, ones, mask, normalizer="masked_count")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0, foreach=True)
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * learning_rate_factor(step, steps)
            optimizer.step()
            losses.append(loss.item())
            progress.update(task, advance=1, note=f"loss {np.mean(losses[-50:]):.2f}")
    return losses


def window(documents: list[Document], first: int) -> Document:
    """L tokens: the document `first`, then those after it, the last one cut off."""
    ids: list[int] = []
    given: list[bool] = []
    while len(ids) < WINDOW:
        more, seen = documents[first % len(documents)]
        ids += more
        given += seen
        first += 1
    return ids[:WINDOW], given[:WINDOW]


def first_documents(documents: int, steps: int, seed: int) -> list[list[int]]:
    """Which document each step's windows begin with: shuffled epochs."""
    chance = generator(seed, "windows")
    firsts: list[int] = []
    while len(firsts) < steps * BATCH:
        firsts += chance.sample(range(documents), documents)
    return [firsts[step * BATCH : (step + 1) * BATCH] for step in range(steps)]


def learning_rate_factor(step: int, steps: int) -> float:
    """Linear warm-up, a constant part, then a cosine to zero."""
    if step < WARMUP_STEPS:
        return (step + 1) / WARMUP_STEPS
    share = max(0.0, (step / steps - CONSTANT_SHARE) / (1 - CONSTANT_SHARE))
    return 0.5 * (1 + math.cos(math.pi * share))


def _parameter_groups(model: LLaDAModelLM) -> list[dict[str, Any]]:
    """Matrices of the blocks with weight decay; norms, head and embedding without, the last two at their own rates."""
    embedding, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    blocks = list(model.model.transformer.blocks.parameters())
    known = {id(parameter) for parameter in (embedding, head, *blocks)}
    norms = [parameter for parameter in blocks if parameter.dim() == 1]
    norms += [parameter for parameter in model.parameters() if id(parameter) not in known]
    return [
        {
            "params": [matrix for matrix in blocks if matrix.dim() == 2],
            "peak": LEARNING_RATE,
            "weight_decay": WEIGHT_DECAY,
        },
        {"params": norms, "peak": LEARNING_RATE, "weight_decay": 0.0},
        {"params": [head], "peak": HEAD_LEARNING_RATE, "weight_decay": 0.0},
        {"params": [embedding], "peak": EMBEDDING_LEARNING_RATE, "weight_decay": 0.0},
    ]


def _token_id(tokenizer: PreTrainedTokenizerFast, token: str) -> int:
    identifier = special_token_id(tokenizer, token)
    assert identifier is not None  # load_tokenizer has checked
    return identifier
