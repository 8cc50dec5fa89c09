"""LLaDA's reverse process: `denoise` yields step after step, `generate` drains it.

One engine, rule x score x cache x stop. The answer is denoised block by block, from left to right; within a block every
step runs the model, chooses a token for each masked position (`llada.choice`) and commits some of them (`llada.rules`):

    1. open the next block of the rows that have not stopped; without a cache, or to fill one, run the whole sequence
    2. apply the head at the block's masked positions alone, in float32; with guidance twice
    3. choose tokens and scores, let the rule commit at least one token per row, yield the step
    4. drop the rows whose block is full or that have stopped, and go on at 2 with what the cache leaves to compute

Rows never influence one another: the noise is the row's own (`llada.row_noise`), padding is invisible, and blocks are
opened by all rows together. Source of the process: Nie et al. 2025, arXiv 2502.09992, algorithm 5; of the caches: Wu et
al. 2025, arXiv 2505.22618 (Fast-dLLM).

Shapes: B rows, R rows at work, P prompt, G answer, T = P + G, K block, D width, V vocabulary.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from llada import rules
from llada.cache import KeyValueCache
from llada.canvas import Allowed, Canvas, Vocabulary, constraint_table
from llada.choice import Choices, Chooser
from llada.row_noise import fold, row_keys
from llada.sampler_config import SamplerConfig

_HEAD_BYTES = {"cpu": 2**26, "cuda": 2**30}  # of float32 logits at once


@dataclass(frozen=True)
class Step:
    """One step of the reverse process, as `denoise` yields it. The tensors belong to the consumer."""

    block: int
    forward_passes: int  # so far
    tokens: Tensor  # (B, T) int64, after the step; the mask token where nothing is committed yet
    revealed: Tensor  # (B, T) bool, committed by this step
    confidence: Tensor  # (B, T) float32, the score of what was revealed, 0 elsewhere
    taken_back: Tensor  # (B, T) bool, masked again by this step (rule revoke)


@dataclass(frozen=True)
class Generation:
    """What `generate` returns: the tokens and what they cost."""

    tokens: Tensor  # (B, P + G) int64, prompt included; after a stop the pad token
    forward_passes: int  # calls of the model, of whatever batch and slice
    tokens_committed: int  # over all rows
    answer_lengths: Tensor  # (B,) int64, answer tokens up to the first stop token, itself included
    rows_stopped_early: int  # rows that met a stop token before their last block was full
    seconds: float
    peak_memory: int | None  # bytes, on CUDA

    @property
    def tokens_per_forward(self) -> float:
        """Answer tokens up to each row's first stop, over all rows, per call of the model."""
        return int(self.answer_lengths.sum()) / max(1, self.forward_passes)

    @property
    def tokens_per_second(self) -> float:
        """Answer tokens up to each row's first stop, over all rows, per second."""
        return int(self.answer_lengths.sum()) / self.seconds


def generate(
    model: Any,
    input_ids: Tensor,
    attention_mask: Tensor | None = None,
    config: SamplerConfig | None = None,
    generator: torch.Generator | None = None,
    *,
    answer: Tensor | None = None,
    allowed: Allowed | Sequence[Allowed | None] | None = None,
    row_ids: Sequence[int] | None = None,
) -> Generation:
    """Denoise answers to a batch of prompts; arguments and errors as of `denoise`."""
    device = input_ids.device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        torch.cuda.synchronize(device)
    begin = time.perf_counter()
    engine = _Engine(model, input_ids, attention_mask, config, generator, answer, allowed, row_ids)
    for _ in engine.run():
        pass
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    canvas = engine.canvas
    return Generation(
        tokens=canvas.tokens,
        forward_passes=engine.forward_passes,
        tokens_committed=int(engine.committed),
        answer_lengths=canvas.lengths_to_stop(),
        rows_stopped_early=int(canvas.stopped.sum()),
        seconds=time.perf_counter() - begin,
        peak_memory=torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
    )


def denoise(
    model: Any,
    input_ids: Tensor,
    attention_mask: Tensor | None = None,
    config: SamplerConfig | None = None,
    generator: torch.Generator | None = None,
    *,
    answer: Tensor | None = None,
    allowed: Allowed | Sequence[Allowed | None] | None = None,
    row_ids: Sequence[int] | None = None,
) -> Iterator[Step]:
    """Denoise answers to a batch of prompts, yielding every step. The last step's tokens are the result.

    Args:
        model: an LLaDAModelLM, or a peft model around one.
        input_ids: (B, P) int64, padded on the left.
        attention_mask: (B, P), nonzero where a token is real; None when nothing is padded.
        config: the settings; None for the defaults.
        generator: its state seeds the noise, where a setting wants any; None: torch's global one. One number is drawn.
        answer: (B, gen_length) int64, an answer to fill in: tokens that are kept, and the mask token at free places.
        allowed: hard constraints, {answer position: ids that may stand there}, for all rows or one mapping per row.
        row_ids: seeds each row's noise from a number of yours in place of its prompt, see `llada.row_noise.row_keys`.

    Raises:
        ValueError: an argument has a wrong shape, dtype or padding, or contradicts the settings.
        RuntimeError: a mask token is left at the end (a fault of ours, never silent).
    """
    return _Engine(model, input_ids, attention_mask, config, generator, answer, allowed, row_ids).run()


class _Engine:
    """One run of the sampler: the canvas, the model, and the loop."""

    def __init__(
        self,
        model: Any,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        config: SamplerConfig | None,
        generator: torch.Generator | None,
        answer: Tensor | None,
        allowed: Allowed | Sequence[Allowed | None] | None,
        row_ids: Sequence[int] | None,
    ) -> None:
        self.config = config = config or SamplerConfig()
        self.model = model.get_base_model() if hasattr(model, "get_base_model") else model
        vocabulary = Vocabulary.of(self.model.config, config)
        self.canvas = canvas = Canvas(input_ids, attention_mask, answer, config, vocabulary)
        self.device = device = input_ids.device
        self.chooser = Chooser(config, torch.tensor(vocabulary.forbidden(), device=device), canvas.stops)
        self.constraints = constraint_table(allowed, len(input_ids), config, vocabulary)
        if self.constraints is not None:
            self.constraints = (self.constraints[0].to(device), self.constraints[1].to(device))
        if row_ids is not None and len(row_ids) != len(input_ids):
            raise ValueError(f"row_ids has {len(row_ids)} entries for {len(input_ids)} rows")
        self.keys: Tensor | None = None  # (B,) int64
        if config.temperature > 0 or config.remasking == "random":
            self.keys = row_keys(canvas.prompts(), generator, row_ids).to(device)
        self.head_rows = max(1, _HEAD_BYTES.get(device.type, 2**26) // (4 * vocabulary.size))
        self.prompt_lengths = canvas.prompt_lengths()
        self.forward_passes = 0
        self.committed = torch.zeros((), dtype=torch.int64, device=device)

    @torch.no_grad()
    def run(self) -> Iterator[Step]:
        training = self.model.training
        self.model.eval()
        try:
            for block in range(self.config.longest // self.config.block_length):
                yield from self._denoise_block(block)
        finally:
            self.model.train(training)
        if bool(self.canvas.masked.any()):
            raise RuntimeError("the sampler left a mask token behind; please report this with the settings")

    def _denoise_block(self, block: int) -> Iterator[Step]:
        config, canvas = self.config, self.canvas
        K = config.block_length
        place = slice(block * K, (block + 1) * K)
        masks = canvas.masked[:, place].sum(dim=1)  # (B,)
        rows = masks.nonzero()[:, 0]  # (R,)
        cache = None
        steps, step = config.steps_per_block, 0
        while len(rows):
            masked = canvas.masked[rows, place]  # (R, K)
            fills = step == 0 or (config.cache_refresh > 0 and step % config.cache_refresh == 0)
            if config.cache != "none" and fills:
                cache = KeyValueCache(canvas.tokens.shape[1])
            hidden = self._hidden(rows, block, cache, fills)  # (R or 2R, K, D)
            choices = self._choose(hidden, masked, rows, block, step)
            score = _spread(masked, choices.scores, -torch.inf)
            commit = self._commit(score, choices, masked, rows, block, rules.quota_of_step(masks[rows], steps, step))
            yield self._write(block, rows, commit, score, _spread(masked, choices.tokens, 0))

            left = (masked & ~commit).any(dim=1)
            if config.stop_at_eos:
                left &= ~canvas.stop_rows(rows)
            keep = left.nonzero()[:, 0]
            if len(keep) < len(rows):
                if cache is not None:
                    cache.select_rows(torch.cat((keep, keep + len(rows))) if config.guidance_scale else keep)
                rows = rows[keep]
            step += 1

    def _hidden(self, rows: Tensor, block: int, cache: KeyValueCache | None, fills: bool) -> Tensor:
        """The block's hidden states, (R, K, D); with guidance (2R, K, D), the half that sees no prompt last."""
        canvas, K = self.canvas, self.config.block_length
        begin = canvas.start + block * K
        ids = canvas.tokens[rows]  # (R, T)
        attention = None if canvas.attention is None else canvas.attention[rows]
        if self.config.guidance_scale:
            blind = ids.clone()
            blind[:, : canvas.start] = canvas.vocabulary.mask
            ids = torch.cat((ids, blind))
            attention = None if attention is None else torch.cat((attention, attention))
        first, last = 0, ids.shape[1]
        if cache is not None and not fills:
            first = begin
            last = begin + K if self.config.cache == "dual" else last
        self.forward_passes += 1
        hidden = self.model.hidden(ids[:, first:last], attention, cache=cache, cache_start=first)
        return hidden[:, begin - first : begin - first + K]

    def _choose(self, hidden: Tensor, masked: Tensor, rows: Tensor, block: int, step: int) -> Choices:
        """Choices for the N masked positions, in row-major order; the head runs there alone, a chunk at a time."""
        at, place = masked.nonzero(as_tuple=True)  # (N,) each
        answer_place = place + block * self.config.block_length
        keys = None
        if self.keys is not None:
            keys = fold(fold(self.keys[rows][at], answer_place), step)
        states = hidden[at, place]  # (N, D)
        blind = hidden[at + len(rows), place] if self.config.guidance_scale else None
        parts = []
        for chunk in torch.arange(len(at), device=at.device).split(self.head_rows):
            logits = self.model.head(states[chunk]).float()  # (n, V)
            if blind is not None:
                unconditional = self.model.head(blind[chunk]).float()
                logits = unconditional + (self.config.guidance_scale + 1) * (logits - unconditional)
            allowed = None
            if self.constraints is not None:
                index, table = self.constraints
                allowed = table[index[rows[at[chunk]], answer_place[chunk]]]
            parts.append(self.chooser.choose(logits, None if keys is None else keys[chunk], allowed))
        entropies = [part.entropies for part in parts if part.entropies is not None]
        return Choices(
            torch.cat([part.tokens for part in parts]),
            torch.cat([part.scores for part in parts]),
            torch.cat(entropies) if entropies else None,
        )

    def _commit(
        self, score: Tensor, choices: Choices, masked: Tensor, rows: Tensor, block: int, quota: Tensor
    ) -> Tensor:
        config = self.config
        if config.rule == "quota":
            done = block * config.block_length
            before = [self.prompt_lengths[row] + done for row in rows.tolist()]
            return rules.by_quota(score, masked, quota, before, max(0, config.gen_length - done - config.block_length))
        if config.rule == "factor":
            return rules.by_factor(score, masked, config.factor)
        if config.rule == "entropy_bound":
            assert choices.entropies is not None
            return rules.by_entropy(_spread(masked, choices.entropies, torch.inf), masked, config.entropy_bound)
        return rules.by_threshold(score, masked, config.threshold)

    def _write(self, block: int, rows: Tensor, commit: Tensor, score: Tensor, tokens: Tensor) -> Step:
        canvas, K = self.canvas, self.config.block_length
        begin = canvas.start + block * K
        columns = slice(begin, begin + K)
        canvas.tokens[rows, columns] = torch.where(commit, tokens, canvas.tokens[rows, columns])
        self.committed += commit.sum()
        revealed = torch.zeros_like(canvas.tokens, dtype=torch.bool)
        revealed[rows, columns] = commit
        confidence = torch.zeros_like(canvas.tokens, dtype=torch.float32)
        confidence[rows, columns] = score.masked_fill(~commit, 0.0)
        taken_back = torch.zeros_like(revealed)
        return Step(block, self.forward_passes, canvas.tokens.clone(), revealed, confidence, taken_back)


def _spread(masked: Tensor, values: Tensor, elsewhere: float) -> Tensor:
    """(N,) values of the masked positions, in row-major order -> (R, K) with `elsewhere` at the others."""
    return torch.full(masked.shape, elsewhere, dtype=values.dtype, device=values.device).masked_scatter(masked, values)
