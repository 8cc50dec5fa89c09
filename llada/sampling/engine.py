"""The sampler's engine, rule x score x cache x stop: one loop for every published decoding method.

The answer is denoised block by block, from left to right; within a block every step runs the model, chooses a token for
each masked position (`llada.sampling.token_choice`) and commits some of them (`llada.sampling.rules`):

    1. open the next block of the rows that have not stopped; without a cache, or to fill one, run the whole sequence
    2. apply the head at the block's masked positions alone, in float32; with guidance twice
    3. choose tokens and scores, let the rule commit at least one token per row
    4. yield the step; drop the rows whose block is full or that have stopped; go on with what the cache leaves to do

Rows never influence one another: the noise is the row's own (`noise`), padding is invisible, all rows open a block
together. Source of the process: Nie et al. 2025, arXiv 2502.09992, algorithm 5; of the caches: Wu et al. 2025,
arXiv 2505.22618 (Fast-dLLM); of growing: Li et al. 2025, arXiv 2508.00819 (DAEDAL), here in whole blocks.

Shapes: B rows, R rows at work, N masked positions, P prompt, G answer, T = P + G, K block, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from llada.network.cache import KeyValueCache
from llada.sampling import rules
from llada.sampling.noise import fold, row_keys
from llada.sampling.revoke import hidden_with_shadow
from llada.sampling.sequences import Allowed, Canvas, Vocabulary, constraint_table
from llada.sampling.settings import SamplerConfig
from llada.sampling.token_choice import Choices, Chooser

_HEAD_BYTES = {"cpu": 2**26, "cuda": 2**28}  # of float32 logits at once


@dataclass(frozen=True)
class Step:
    """One step of the reverse process, as `denoise` yields it. The tensors belong to the consumer."""

    block: int
    forward_passes: int  # so far
    tokens: Tensor  # (B, T) int64, after the step; the mask token where nothing is committed yet
    revealed: Tensor  # (B, T) bool, committed by this step
    confidence: Tensor  # (B, T) float32, the score of what was revealed, 0 elsewhere
    taken_back: Tensor  # (B, T) bool, masked again by this step (rule revoke)


@dataclass
class _Block:
    """A block while it is denoised: the rows that still work on it and what they share."""

    number: int
    rows: Tensor  # (R,) int64
    masks: Tensor  # (B,) int64, masked positions as the block opened
    cache: KeyValueCache | None = None
    step: int = 0
    drafted: Tensor | None = None  # (R,) int64, positions committed by the step before


class Engine:
    """One run of the sampler; arguments and errors as of `llada.sampling.generate.denoise`."""

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
        device = input_ids.device
        self.chooser = Chooser(config, torch.tensor(vocabulary.forbidden(), device=device), canvas.stops)
        self.constraints = constraint_table(allowed, len(input_ids), config, vocabulary, device)
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
            self._lengthen()
            for number in range(self.config.longest // self.config.block_length):
                yield from self._denoise_block(number)
                self._grow_after(number)
        finally:
            self.model.train(training)
        if bool(self.canvas.masked.any()):
            raise RuntimeError("the sampler left a mask token behind; please report this with the settings")

    def _denoise_block(self, number: int) -> Iterator[Step]:
        config, canvas = self.config, self.canvas
        K = config.block_length
        place = slice(number * K, (number + 1) * K)
        masks = canvas.masked[:, place].sum(dim=1)
        block = _Block(number, rows=masks.nonzero()[:, 0], masks=masks)
        while len(block.rows):
            rows = block.rows
            masked = canvas.masked[rows, place]  # (R, K)
            hidden = self._hidden(block)  # (R or 2R, K or 2K, D)
            choices = self._choose(hidden, masked, block)
            score = _spread(masked, choices.scores, -torch.inf)
            commit = self._commit(score, choices, masked, block)
            back = self._take_back(hidden, masked, block)
            block.drafted = commit.sum(dim=1)

            columns = slice(canvas.start + place.start, canvas.start + place.stop)
            written = torch.where(commit, _spread(masked, choices.tokens, 0), canvas.tokens[rows, columns])
            canvas.tokens[rows, columns] = written.masked_fill(back, canvas.vocabulary.mask)
            self.committed += block.drafted.sum()
            left = ((masked & ~commit) | back).any(dim=1)
            if config.stop_at_eos:
                # a token that rule revoke may still take back does not end a row, nor does what stands behind it
                final = (
                    (~left).nonzero()[:, 0] if config.rule == "revoke" else torch.arange(len(rows), device=rows.device)
                )
                left[final] &= ~canvas.stop_rows(rows[final])
            yield self._step(number, rows, columns, commit, score, back)
            self._keep(block, left)

    def _keep(self, block: _Block, left: Tensor) -> None:
        """Drop the rows that have nothing left to do in this block, from its cache too; left: (R,) bool."""
        keep = left.nonzero()[:, 0]
        if len(keep) < len(block.rows):
            if block.cache is not None:
                both = torch.cat((keep, keep + len(block.rows)))
                block.cache.select_rows(both if self.config.guidance_scale else keep)
            block.rows = block.rows[keep]
            block.drafted = None if block.drafted is None else block.drafted[keep]
        block.step += 1

    def _hidden(self, block: _Block) -> Tensor:
        """The block's hidden states, (R, K, D); with rule revoke (R, 2K, D), its shadow's last; with guidance twice the
        rows, those that see no prompt last."""
        config, canvas, rows = self.config, self.canvas, block.rows
        begin = canvas.start + block.number * config.block_length
        end = begin + config.block_length
        ids, attention = self._sequences(rows)
        first, last = 0, ids.shape[1]
        if config.cache != "none":
            fills = block.step == 0 or (config.cache_refresh > 0 and block.step % config.cache_refresh == 0)
            if fills:
                block.cache = KeyValueCache(last + (config.block_length if config.rule == "revoke" else 0))
            else:
                first, last = begin, end if config.cache == "dual" else last
        self.forward_passes += 1
        if config.rule == "revoke":
            mask_id = canvas.vocabulary.mask
            return hidden_with_shadow(self.model, ids, attention, begin, end, mask_id, block.cache, first, last)
        wanted = slice(begin - first, end - first)
        return self.model.hidden(ids[:, first:last], attention, cache=block.cache, cache_start=first, keep=wanted)

    def _sequences(self, rows: Tensor) -> tuple[Tensor, Tensor | None]:
        """Token ids (R, T) and attention (R, T) of some rows; with guidance once more with the prompt masked."""
        canvas = self.canvas
        ids = canvas.tokens[rows]
        attention = None if canvas.attention is None else canvas.attention[rows]
        if self.config.guidance_scale:
            blind = ids.clone()
            blind[:, : canvas.start] = canvas.vocabulary.mask
            ids = torch.cat((ids, blind))
            attention = None if attention is None else torch.cat((attention, attention))
        return ids, attention

    def _logits(self, hidden: Tensor, at: Tensor, place: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Logits (n, V) in float32, guided, at the N positions hidden[at, place]; in chunks, with their indices."""
        rows = len(hidden) // (2 if self.config.guidance_scale else 1)
        for chunk in torch.arange(len(at), device=at.device).split(self.head_rows):
            logits = self.model.head(hidden[at[chunk], place[chunk]]).float()
            if self.config.guidance_scale:
                blind = self.model.head(hidden[at[chunk] + rows, place[chunk]]).float()
                logits = blind + (self.config.guidance_scale + 1) * (logits - blind)
            yield chunk, logits

    def _choose(self, hidden: Tensor, masked: Tensor, block: _Block) -> Choices:
        """Choices for the N masked positions (R, K), in row-major order."""
        at, place = masked.nonzero(as_tuple=True)  # (N,) each
        answer_place = place + block.number * self.config.block_length
        keys = None
        if self.keys is not None:
            keys = fold(fold(self.keys[block.rows[at]], answer_place), block.step)
        parts = []
        for chunk, logits in self._logits(hidden, at, place):
            allowed = None
            if self.constraints is not None:
                index, table = self.constraints
                allowed = table[index[block.rows[at[chunk]], answer_place[chunk]]]
            parts.append(self.chooser.choose(logits, None if keys is None else keys[chunk], allowed))
        entropies = [part.entropies for part in parts if part.entropies is not None]
        return Choices(
            torch.cat([part.tokens for part in parts]),
            torch.cat([part.scores for part in parts]),
            torch.cat(entropies) if entropies else None,
        )

    def _commit(self, score: Tensor, choices: Choices, masked: Tensor, block: _Block) -> Tensor:
        """(R, K) bool: what this step commits."""
        config = self.config
        if config.rule == "quota":
            done = block.number * config.block_length
            before = [self.prompt_lengths[row] + done for row in block.rows.tolist()]
            after = max(0, config.gen_length - done - config.block_length)
            quota = rules.quota_of_step(block.masks[block.rows], config.steps_per_block, block.step)
            return rules.by_quota(score, masked, quota, before, after)
        if config.rule == "factor":
            return rules.by_factor(score, masked, config.factor)
        if config.rule == "entropy_bound":
            assert choices.entropies is not None
            return rules.by_entropy(_spread(masked, choices.entropies, torch.inf), masked, config.entropy_bound)
        if config.rule == "revoke":
            if block.step + 1 >= config.steps_per_block:  # the cap: all that is left, at once
                return masked
            return rules.by_threshold(score, masked, config.draft_threshold)
        return rules.by_threshold(score, masked, config.threshold)

    def _take_back(self, hidden: Tensor, masked: Tensor, block: _Block) -> Tensor:
        """(R, K) bool: what was committed in this block before, and is now doubted. Nothing, but for rule revoke."""
        config, canvas, K = self.config, self.canvas, self.config.block_length
        if config.rule != "revoke" or block.drafted is None or block.step + 1 >= config.steps_per_block:
            return torch.zeros_like(masked)
        place = slice(block.number * K, (block.number + 1) * K)
        standing = canvas.free[block.rows, place] & ~masked
        at, where = standing.nonzero(as_tuple=True)
        if len(at) == 0:
            return standing
        tokens = canvas.answers[block.rows, place][at, where]
        parts = [
            self.chooser.probability(logits, tokens[chunk]) for chunk, logits in self._logits(hidden, at, where + K)
        ]
        kept = _spread(standing, torch.cat(parts), torch.inf)
        return rules.take_back(kept, standing, block.drafted, config.keep_threshold)

    def _step(self, number: int, rows: Tensor, columns: slice, commit: Tensor, score: Tensor, back: Tensor) -> Step:
        tokens = self.canvas.tokens
        revealed = torch.zeros_like(tokens, dtype=torch.bool)
        revealed[rows, columns] = commit
        confidence = torch.zeros_like(tokens, dtype=torch.float32)
        confidence[rows, columns] = score.masked_fill(~commit, 0.0)
        taken_back = torch.zeros_like(revealed)
        taken_back[rows, columns] = back
        return Step(number, self.forward_passes, tokens.clone(), revealed, confidence, taken_back)

    def _lengthen(self) -> None:
        """Before the first step: rows that may grow do so until the model expects the answer to end within them."""
        config, canvas = self.config, self.canvas
        places = torch.arange(config.block_length, device=canvas.tokens.device) - config.block_length
        rows = (canvas.lengths < config.longest).nonzero()[:, 0]
        while len(rows) and config.tail_confidence > 0:
            ids, attention = self._sequences(rows)
            self.forward_passes += 1
            hidden = self.model.hidden(ids, attention)
            tail = canvas.start + canvas.lengths[rows, None] + places  # (R, K)
            at = torch.arange(len(rows), device=rows.device).repeat_interleave(config.block_length)
            ending = [
                logits.softmax(dim=-1)[:, canvas.stops].sum(dim=-1)
                for _, logits in self._logits(hidden, at, tail.flatten())
            ]
            expected = torch.cat(ending).view_as(tail).mean(dim=1)
            rows = rows[expected < config.tail_confidence]
            canvas.grow(rows)
            rows = rows[canvas.lengths[rows] < config.longest]

    def _grow_after(self, number: int) -> None:
        """Give another block to the rows whose last one is full although they have not stopped."""
        canvas, done = self.canvas, (number + 1) * self.config.block_length
        if done < self.config.longest:
            canvas.grow(((canvas.lengths == done) & ~canvas.stopped).nonzero()[:, 0])


def _spread(masked: Tensor, values: Tensor, elsewhere: float) -> Tensor:
    """(N,) values of the masked positions, in row-major order -> (R, K) with `elsewhere` at the others."""
    return torch.full(masked.shape, elsewhere, dtype=values.dtype, device=values.device).masked_scatter(masked, values)
