"""The sampler's engine, rule x score x cache x stop: one loop for every published decoding method.

An answer is denoised block by block, from left to right, and a block step by step: `Engine.denoise_block` is that loop,
its steps numbered in the order in which they run, and the methods below it stand in the same order. Which token stands
at a position, and how surely, is in `token_choice`; which positions a step commits in `rules`.

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
from llada.sampling.noise import fold, row_keys
from llada.sampling.revoke import hidden_with_shadow
from llada.sampling.rules import RULES, BlockState, take_back
from llada.sampling.sequences import Allowed, SequenceBatch, Vocabulary, constraint_table
from llada.sampling.settings import SamplerConfig
from llada.sampling.token_choice import TokenChoices, TokenChooser

_HEAD_BYTES = {"cpu": 2**26, "cuda": 2**28}  # of float32 logits at once


@dataclass(frozen=True)
class Step:
    """One step of the reverse process, as `denoise` yields it. Its tensors are copies: they may be kept and changed."""

    block: int
    forward_passes: int  # so far
    tokens: Tensor  # (B, T) int64, after the step; the mask token where nothing is committed yet
    revealed: Tensor  # (B, T) bool, committed by this step
    confidence: Tensor  # (B, T) float32, the score of what was revealed, 0 elsewhere
    taken_back: Tensor  # (B, T) bool, masked again by this step (rule revoke)


@dataclass
class _Block:
    """A block while it is denoised: where it lies, the rows that still work on it and what they share."""

    number: int
    place: slice  # of the answer's G positions
    columns: slice  # of the sequence's T positions
    rows: Tensor  # (R,) int64
    opened: Tensor  # (B,) int64, masked positions as the block opened
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
        self.rule = RULES[config.rule]
        self.model = model.get_base_model() if hasattr(model, "get_base_model") else model
        vocabulary = Vocabulary.of(self.model.config, config)
        self.sequences = sequences = SequenceBatch(input_ids, attention_mask, answer, config, vocabulary)
        device = input_ids.device
        self.chooser = TokenChooser(config, torch.tensor(vocabulary.forbidden(), device=device), sequences.stops)
        self.constraints = constraint_table(allowed, len(input_ids), config, vocabulary, device)
        if row_ids is not None and len(row_ids) != len(input_ids):
            raise ValueError(f"row_ids has {len(row_ids)} entries for {len(input_ids)} rows")
        self.keys: Tensor | None = None  # (B,) int64
        if config.temperature > 0 or config.remasking == "random":
            self.keys = row_keys(sequences.prompts(), generator, row_ids).to(device)
        self.head_rows = max(1, _HEAD_BYTES.get(device.type, 2**26) // (4 * vocabulary.size))
        self.prompt_lengths = sequences.prompt_lengths()  # (B,)
        self.forward_passes = 0

    @torch.no_grad()
    def run(self) -> Iterator[Step]:
        """Denoise block after block, yielding every step."""
        training = self.model.training
        self.model.eval()
        try:
            self._lengthen()
            for number in range(self.config.longest // self.config.block_length):
                yield from self.denoise_block(number)
                self._grow_after(number)
        finally:
            self.model.train(training)
        if bool(self.sequences.masked.any()):
            raise RuntimeError("the sampler left a mask token behind; please report this with the settings")

    def denoise_block(self, number: int) -> Iterator[Step]:
        """Commit tokens step by step until the block holds no mask in any row that has not stopped."""
        # 1. Open the block in the rows that have masks in it.
        block = self._open(number)
        while len(block.rows):
            masked = self.sequences.masked[block.rows, block.place]  # (R, K)
            # 2. Run the model: over the whole sequence, or over what the cache leaves to do.
            hidden = self._hidden(block)  # (R or 2R, K or 2K, D)
            # 3. Choose a token for each masked position, with a score that says how sure it is.
            choices = self._choose(hidden, masked, block)
            # 4. Let the rule say which of them are committed, at least one in each row.
            state = self._state(choices, masked, block)
            commit = self.rule.commit(state)  # (R, K)
            # 5. Find earlier tokens of the block that the model, seeing the rest, now doubts (rule revoke).
            back = self._doubted(hidden, state, block)  # (R, K)
            # 6. Write both into the sequences.
            self._write(choices.tokens, state.masked, commit, back, block)
            # 7. Go on with the rows that have masks left, but for those that have just stopped.
            left = self._unfinished((masked & ~commit) | back, block)  # (R,)
            yield self._step(block, commit, state.score, back)
            self._keep(left, block)

    # --- 1: open the block ---
    def _open(self, number: int) -> _Block:
        K, P = self.config.block_length, self.sequences.start
        place = slice(number * K, (number + 1) * K)
        opened = self.sequences.masked[:, place].sum(dim=1)
        return _Block(number, place, slice(P + place.start, P + place.stop), opened.nonzero()[:, 0], opened)

    # --- 2: run the model ---
    def _hidden(self, block: _Block) -> Tensor:
        """The block's hidden states, (R, K, D); with rule revoke (R, 2K, D), its shadow's last; with guidance twice the
        rows, those that see no prompt last."""
        config, begin, end = self.config, block.columns.start, block.columns.stop
        ids, attention = self._sequences_of(block.rows)
        first, last = 0, ids.shape[1]
        if config.cache != "none":
            fills = block.step == 0 or (config.cache_refresh > 0 and block.step % config.cache_refresh == 0)
            if fills:
                block.cache = KeyValueCache(last + (config.block_length if self.rule.verifies else 0))
            else:
                first, last = begin, end if config.cache == "dual" else last
        self.forward_passes += 1
        if self.rule.verifies:
            mask_id = self.sequences.vocabulary.mask
            return hidden_with_shadow(self.model, ids, attention, begin, end, mask_id, block.cache, first, last)
        wanted = slice(begin - first, end - first)
        return self.model.hidden(ids[:, first:last], attention, cache=block.cache, cache_start=first, keep=wanted)

    def _sequences_of(self, rows: Tensor) -> tuple[Tensor, Tensor | None]:
        """Token ids (R, T) and attention (R, T) of some rows; with guidance once more with the prompt masked."""
        sequences = self.sequences
        ids = sequences.tokens[rows]
        attention = None if sequences.attention is None else sequences.attention[rows]
        if self.config.guidance_scale:
            blind = ids.clone()
            blind[:, : sequences.start] = sequences.vocabulary.mask
            ids = torch.cat((ids, blind))
            attention = None if attention is None else torch.cat((attention, attention))
        return ids, attention

    # --- 3: choose tokens and scores ---
    def _choose(self, hidden: Tensor, masked: Tensor, block: _Block) -> TokenChoices:
        """Choices for the N masked positions (R, K), in row-major order."""
        at, place = masked.nonzero(as_tuple=True)  # (N,) each
        answer_place = place + block.place.start
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
        return TokenChoices(
            torch.cat([part.tokens for part in parts]),
            torch.cat([part.scores for part in parts]),
            torch.cat(entropies) if entropies else None,
        )

    def _logits(self, hidden: Tensor, at: Tensor, place: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Logits (n, V) in float32, guided, at the N positions hidden[at, place]; in chunks, with their indices."""
        rows = len(hidden) // (2 if self.config.guidance_scale else 1)
        for chunk in torch.arange(len(at), device=at.device).split(self.head_rows):
            logits = self.model.head(hidden[at[chunk], place[chunk]]).float()
            if self.config.guidance_scale:
                blind = self.model.head(hidden[at[chunk] + rows, place[chunk]]).float()
                logits = blind + (self.config.guidance_scale + 1) * (logits - blind)
            yield chunk, logits

    # --- 4: let the rule commit ---
    def _state(self, choices: TokenChoices, masked: Tensor, block: _Block) -> BlockState:
        return BlockState(
            score=_spread(masked, choices.scores, -torch.inf),
            masked=masked,
            entropy=None if choices.entropies is None else _spread(masked, choices.entropies, torch.inf),
            config=self.config,
            step=block.step,
            opened=block.opened[block.rows],
            before=self.prompt_lengths[block.rows] + block.place.start,
            after=max(0, self.config.gen_length - block.place.stop),
        )

    # --- 5: take back ---
    def _doubted(self, hidden: Tensor, state: BlockState, block: _Block) -> Tensor:
        """(R, K) bool: what was committed in this block before, and is now doubted. Nothing, but for rule revoke."""
        if not self.rule.verifies or block.drafted is None or state.last_step:
            return torch.zeros_like(state.masked)
        standing = self.sequences.free[block.rows, block.place] & ~state.masked
        at, place = standing.nonzero(as_tuple=True)
        if len(at) == 0:
            return standing
        tokens = self.sequences.answers[block.rows, block.place][at, place]
        shadow = place + self.config.block_length
        parts = [self.chooser.probability(logits, tokens[chunk]) for chunk, logits in self._logits(hidden, at, shadow)]
        kept = _spread(standing, torch.cat(parts), torch.inf)
        return take_back(kept, standing, block.drafted, self.config.keep_threshold)

    # --- 6: write ---
    def _write(self, chosen: Tensor, masked: Tensor, commit: Tensor, back: Tensor, block: _Block) -> None:
        tokens, rows, columns = self.sequences.tokens, block.rows, block.columns
        written = torch.where(commit, _spread(masked, chosen, 0), tokens[rows, columns])
        tokens[rows, columns] = written.masked_fill(back, self.sequences.vocabulary.mask)
        block.drafted = commit.sum(dim=1)

    # --- 7: go on ---
    def _unfinished(self, masks: Tensor, block: _Block) -> Tensor:
        """(R,) bool: rows with work left in this block. Ends the rows that have met a stop token, with stop_at_eos."""
        left = masks.any(dim=1)
        if self.config.stop_at_eos:
            # a token that may still be taken back does not end a row, nor does what stands behind it
            may_stop = ~left if self.rule.verifies else torch.ones_like(left)
            rows = may_stop.nonzero()[:, 0]
            left[rows] &= ~self.sequences.stop_rows(block.rows[rows])
        return left

    def _step(self, block: _Block, commit: Tensor, score: Tensor, back: Tensor) -> Step:
        tokens, rows, columns = self.sequences.tokens, block.rows, block.columns
        revealed = torch.zeros_like(tokens, dtype=torch.bool)
        revealed[rows, columns] = commit
        confidence = torch.zeros_like(tokens, dtype=torch.float32)
        confidence[rows, columns] = score.masked_fill(~commit, 0.0)
        taken_back = torch.zeros_like(revealed)
        taken_back[rows, columns] = back
        return Step(block.number, self.forward_passes, tokens.clone(), revealed, confidence, taken_back)

    def _keep(self, left: Tensor, block: _Block) -> None:
        """Drop the rows that have nothing left to do in this block, from its cache too; left: (R,) bool."""
        keep = left.nonzero()[:, 0]
        if len(keep) < len(block.rows):
            if block.cache is not None:
                both = torch.cat((keep, keep + len(block.rows)))
                block.cache.select_rows(both if self.config.guidance_scale else keep)
            block.rows = block.rows[keep]
            block.drafted = None if block.drafted is None else block.drafted[keep]
        block.step += 1

    # --- before the first block, and between blocks: rows that may grow ---
    def _lengthen(self) -> None:
        """Before the first step: rows that may grow do so until the model expects the answer to end within them."""
        config, sequences = self.config, self.sequences
        places = torch.arange(config.block_length, device=sequences.tokens.device) - config.block_length
        rows = (sequences.lengths < config.longest).nonzero()[:, 0]
        while len(rows) and config.tail_confidence > 0:
            ids, attention = self._sequences_of(rows)
            self.forward_passes += 1
            hidden = self.model.hidden(ids, attention)
            tail = sequences.start + sequences.lengths[rows, None] + places  # (R, K)
            at = torch.arange(len(rows), device=rows.device).repeat_interleave(config.block_length)
            ending = [
                logits.softmax(dim=-1)[:, sequences.stops].sum(dim=-1)
                for _, logits in self._logits(hidden, at, tail.flatten())
            ]
            expected = torch.cat(ending).view_as(tail).mean(dim=1)
            rows = rows[expected < config.tail_confidence]
            sequences.grow(rows)
            rows = rows[sequences.lengths[rows] < config.longest]

    def _grow_after(self, number: int) -> None:
        """Give another block to the rows whose last one is full although they have not stopped."""
        sequences, done = self.sequences, (number + 1) * self.config.block_length
        if done < self.config.longest:
            sequences.grow(((sequences.lengths == done) & ~sequences.stopped).nonzero()[:, 0])


def _spread(masked: Tensor, values: Tensor, elsewhere: float) -> Tensor:
    """(N,) values of the masked positions, in row-major order -> (R, K) with `elsewhere` at the others."""
    return torch.full(masked.shape, elsewhere, dtype=values.dtype, device=values.device).masked_scatter(masked, values)
