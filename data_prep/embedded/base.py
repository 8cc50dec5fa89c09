"""The small LLaDA base: pretrained from scratch on plain text with the project's own masked-diffusion loss.

It stands in for a published base, in the published folder layout (config.json, model.safetensors, tokenizer
files). Like one, it has read plain text, knows the conversation's special tokens as marks between passages, and
has never been taught to answer: in a third of the documents two unrelated paragraphs stand in the places of user
and assistant. LoRA does not train embeddings and head, so tokens that the base had never seen could not be learned
by an adapter.

What two cores do in a minute and a half: about 140 GFLOP/s in float32 at best, 6 FLOP per weight and token, some 2.4 M
weights in the blocks; not quite half a million tokens. Hence short windows, logits at masked positions alone, and
starting weights that see neighbours.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from common.progress import progress_bar
from data_prep.config import EmbeddedConfig
from data_prep.embedded.content import generator
from data_prep.embedded.initialisation import initialise
from llada.chat import (
    BOS_TOKEN,
    EOS_TOKEN,
    EOT_TOKEN,
    MASK_TOKEN,
    encode_example,
    load_tokenizer,
    special_token_id,
)
from llada.configuration import LLaDAConfig
from llada.diffusion import masked_diffusion_loss, noise_levels, noise_mask
from llada.modeling import LLaDAModelLM

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

WINDOW = 128
"""Tokens per training row (L)."""
BATCH = 8
MAX_SEQUENCE_LENGTH = 4096
ROPE_THETA = 10000.0
"""The published 500000 would leave half of the few dimensions unable to tell two places of a window apart."""
ENVELOPE_SHARE = 0.35
END_RUN = 12
"""At most so many end-of-text tokens follow a document, as where a published base was padded."""
LEARNING_RATE = 1.5e-3
"""Twice as much was worse (masked 15 per cent: 4.1 nats per token against 3.9), and so was 5e-3 by far."""
EMBEDDING_LEARNING_RATE = 1e-2
"""Each token's vector is updated only when the token occurs."""
WARMUP = 0.05
BETAS = (0.9, 0.98)
WEIGHT_DECAY = 0.02


def build_base(texts: list[str], config: EmbeddedConfig, tokenizer_folder: Path, seed: int, folder: Path) -> None:
    """Pretrain on `texts` and save model and tokenizer to `folder`."""
    tokenizer = load_tokenizer(tokenizer_folder)
    model = fresh_model(config, tokenizer, seed)
    stream = token_stream(texts, tokenizer, seed)
    pretrain(model, stream, config.base_steps, seed)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def fresh_model(config: EmbeddedConfig, tokenizer: PreTrainedTokenizerFast, seed: int) -> LLaDAModelLM:
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


def token_stream(texts: list[str], tokenizer: PreTrainedTokenizerFast, seed: int) -> Tensor:
    """All documents in one row of ids, (N,) int64: plain paragraphs, or two of them in the conversation's envelope."""
    chance = generator(seed, "stream")
    bos, eos = _token_id(tokenizer, BOS_TOKEN), _token_id(tokenizer, EOS_TOKEN)
    ids: list[int] = []
    waiting: str | None = None
    for text in texts:
        if waiting is not None:
            ids += encode_example(tokenizer, waiting, text)[0]
            waiting = None
        elif chance.random() < ENVELOPE_SHARE:
            waiting = text
            continue
        else:
            ids += [bos, *tokenizer.encode(text, add_special_tokens=False)]
        ids += [eos] * (1 if chance.random() < 0.7 else chance.randint(2, END_RUN))
    return torch.tensor(ids, dtype=torch.int64)


def pretrain(model: LLaDAModelLM, stream: Tensor, steps: int, seed: int) -> list[float]:
    """Train on random windows of the stream; returns the loss of each step."""
    model.train()
    optimizer = torch.optim.AdamW(_parameter_groups(model), betas=BETAS, foreach=True)
    maskable = torch.ones(BATCH, WINDOW, dtype=torch.bool)
    rows = range(BATCH)
    losses = []
    with progress_bar() as progress:
        task = progress.add_task("pretraining the base", total=steps, note="")
        for step, starts in enumerate(window_starts(len(stream), steps, seed)):
            ids = torch.stack([stream[start : start + WINDOW] for start in starts])  # (B, L)
            t = noise_levels(seed, step, rows, global_batch_size=BATCH)
            mask = noise_mask(seed, step, rows, maskable, t)
            loss = masked_diffusion_loss(model, ids, maskable, t, mask)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * learning_rate_factor(step, steps)
            optimizer.step()
            losses.append(loss.item())
            progress.update(task, advance=1, note=f"loss {np.mean(losses[-20:]):.2f}")
    return losses


def window_starts(length: int, steps: int, seed: int) -> list[list[int]]:
    """Where each step's windows begin: shuffled epochs, each shifted by an offset of its own."""
    chance = generator(seed, "windows")
    if length <= WINDOW:
        raise ValueError(f"{length} tokens of text; the base needs more than {WINDOW}")
    starts: list[int] = []
    while len(starts) < steps * BATCH:
        epoch = list(range(chance.randrange(min(WINDOW, length - WINDOW)), length - WINDOW, WINDOW))
        chance.shuffle(epoch)
        starts += epoch
    return [starts[step * BATCH : (step + 1) * BATCH] for step in range(steps)]


def learning_rate_factor(step: int, steps: int) -> float:
    """Linear warm-up, then a cosine to zero."""
    warm = max(1, int(WARMUP * steps))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def _parameter_groups(model: LLaDAModelLM) -> list[dict[str, Any]]:
    """Matrices of the blocks with weight decay; embedding, head and norms without, the embedding at its own rate."""
    embedding = model.get_input_embeddings().weight
    matrices = [parameter for parameter in model.model.transformer.blocks.parameters() if parameter.dim() == 2]
    others = [
        parameter
        for parameter in model.parameters()
        if parameter is not embedding and not any(parameter is matrix for matrix in matrices)
    ]
    return [
        {"params": matrices, "peak": LEARNING_RATE, "lr": LEARNING_RATE, "weight_decay": WEIGHT_DECAY},
        {"params": others, "peak": LEARNING_RATE, "lr": LEARNING_RATE, "weight_decay": 0.0},
        {"params": [embedding], "peak": EMBEDDING_LEARNING_RATE, "lr": EMBEDDING_LEARNING_RATE, "weight_decay": 0.0},
    ]


def _token_id(tokenizer: PreTrainedTokenizerFast, token: str) -> int:
    identifier = special_token_id(tokenizer, token)
    assert identifier is not None  # load_tokenizer has checked
    return identifier
