"""The forward passes over a batch: what they compute, what a cache keeps, and which of it is known beforehand.

A cache is filled by a pass over the whole sequence, when a block opens and where a refresh is due; the passes between
run the block and all after it (prefix) or the block alone (dual). Source: Wu et al. 2025, arXiv 2505.22618 (Fast-dLLM).

Exact speculation, with `draft_steps`: a pass also computes the states to which the block would come if the model's last
prediction stood for more steps. A later step that does come to one of them needs no pass, and no step ever uses a state
other than its own, so tokens are those of one pass per step. Source: Wu and Zhang 2025, arXiv 2510.00294 (FreeDave).

Shapes: B rows, R rows at work, C = 1 + drafts, N states computed, P prompt, T = prompt and answer, K block, D width;
S is 1, or 2 with guidance, where the second sees no prompt.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from llada.network.cache import KeyValueCache
from llada.sampling.growth import Move
from llada.sampling.revoke import hidden_with_shadow
from llada.sampling.sequences import SequenceBatch
from llada.sampling.settings import SamplerConfig


@dataclass(frozen=True)
class States:
    """Hidden states, after the final norm, of rows that make their next step from them."""

    rows: Tensor  # (R,) int64
    block: Tensor  # (S, R, K, D); with rule revoke (S, R, 2K, D), the block's shadow last
    answer: Tensor | None  # (S, R, n, D), for exits and insertions: the answer positions that the pass computed
    first: int  # which of the answer's positions they begin at


class Passes:
    """Runs the model for the rows of a batch, block by block. `count` is how often it ran."""

    def __init__(self, model: Any, sequences: SequenceBatch, config: SamplerConfig, verifies: bool) -> None:
        self.model, self.sequences, self.config, self.verifies = model, sequences, config, verifies
        self.count = 0
        self.sides = 2 if config.guidance_scale else 1
        self.shows_answer = config.early_exit != "none" or config.insert_masks > 0
        self.open(slice(0, 0))

    def open(self, place: slice) -> None:
        """Begin with the block at answer positions `place`; what is known of another is forgotten."""
        self.begin, self.end = self.sequences.start + place.start, self.sequences.start + place.stop
        self.cache: KeyValueCache | None = None
        self.cache_row = torch.full_like(self.sequences.lengths, -1)  # (B,), where in the cache a row is
        self.stale = torch.zeros_like(self.cache_row, dtype=torch.bool)  # (B,), rows of which the cache is wrong
        self.candidates: Tensor | None = None  # (r, C, K) int64, the blocks that the last pass computed
        self.index = self.cache_row  # (r, C), which of the N states; -1: not computed
        self.candidate_row = torch.full_like(self.cache_row, -1)  # (B,), where in the candidates a row is
        self.states: tuple[Tensor, Tensor | None, int] | None = None

    def whole(self, rows: Tensor) -> Tensor:
        """(S, R, T, D): a pass over everything, which leaves no trace."""
        ids, attention = self._sequences_of(rows)
        self.count += 1
        return self.model.hidden(ids, attention).unflatten(0, (self.sides, -1))

    def move(self, move: Move) -> None:
        """Tokens have moved: nothing that is known of these rows holds any more."""
        self.stale[move.rows] = True
        self.candidate_row[move.rows] = -1

    def next_states(self, rows: Tensor, steps: Tensor, draft: Callable[[Tensor], Tensor]) -> States:
        """States of those of `rows` (R,) that can make their next step, at least one; a pass only if none is known.

        Args:
            steps: (R,) int64, the steps that each row has made in this block.
            draft: gives for rows (r,) the blocks (r, d, K) at which their next steps may arrive.
        """
        fills = self._fills(rows, steps)
        if self.config.draft_steps and self.candidates is not None:
            known = (self._slots(rows) >= 0) & ~fills
            if bool(known.any()):
                return self._take(rows[known])
        filling = bool(fills.all())
        due = rows if filling else rows[~fills]  # a row that has to fill waits until all have to
        blocks = self.sequences.tokens[due, None, self.begin : self.end]  # (r, 1, K)
        # a cache that is being filled is that of one state
        if self.config.draft_steps and not (filling and self.config.cache != "none"):
            blocks = torch.cat((blocks, draft(due)), dim=1)
        self._run(due, blocks, filling)
        return self._take(due)

    def _fills(self, rows: Tensor, steps: Tensor) -> Tensor:
        """(R,) bool: rows whose next step fills the cache. Without a cache there is nothing between them to fill."""
        refresh = self.config.cache_refresh
        if self.config.cache == "none":
            return torch.zeros_like(steps, dtype=torch.bool)
        return self.stale[rows] | (steps == 0 if refresh == 0 else steps % refresh == 0)

    def _slots(self, rows: Tensor) -> Tensor:
        """(R,) int64: which of the states of the last pass are those of `rows` as they stand; -1: none."""
        assert self.candidates is not None
        where = self.candidate_row[rows]
        current = self.sequences.tokens[rows, None, self.begin : self.end]
        index = self.index[where].masked_fill((self.candidates[where] != current).any(dim=-1), -1)
        return index.amax(dim=1).masked_fill(where < 0, -1)

    def _take(self, rows: Tensor) -> States:
        assert self.states is not None
        block, answer, first = self.states
        if len(rows) == block.shape[1]:  # as after every pass without drafts
            return States(rows, block, answer, first)
        slots = self._slots(rows)
        return States(rows, block[:, slots], None if answer is None else answer[:, slots], first)

    def _run(self, rows: Tensor, blocks: Tensor, filling: bool) -> None:
        """Compute the states of `rows` (r,) with the blocks (r, C, K) in their places."""
        self.candidates = blocks
        self.candidate_row.fill_(-1)
        self.candidate_row[rows] = torch.arange(len(rows), device=rows.device)
        wanted = (blocks == self.sequences.vocabulary.mask).any(dim=-1)  # a block without masks needs no states
        wanted[:, 1:] &= (blocks[:, 1:] != blocks[:, :-1]).any(dim=-1)
        wanted[:, 0] = True
        at, candidate = wanted.nonzero(as_tuple=True)  # (N,) each
        self.index = torch.full(wanted.shape, -1, device=rows.device)
        self.index[at, candidate] = torch.arange(len(at), device=rows.device)
        ids, attention = self._sequences_of(rows[at], blocks[at, candidate])
        first, last = 0, ids.shape[1]
        cache = None
        if self.config.cache != "none" and filling:
            self.cache = cache = KeyValueCache(last + (self.config.block_length if self.verifies else 0))
            self.cache_row.copy_(self.candidate_row)
            self.stale[rows] = False
        elif self.config.cache != "none":
            cache = self._cache_of(rows[at])
            first, last = self.begin, self.end if self.config.cache == "dual" else last
        self.count += 1
        self.states = self._hidden(ids, attention, cache, first, last)

    def _hidden(
        self, ids: Tensor, attention: Tensor | None, cache: KeyValueCache | None, first: int, last: int
    ) -> tuple[Tensor, Tensor | None, int]:
        """Of the slice [first, last): the block's states; if they are wanted the answer's, and where they begin."""
        begin, end, start = self.begin, self.end, self.sequences.start
        low, high = (max(first, start), last) if self.shows_answer else (begin, end)
        if self.verifies:
            mask_id, behind = self.sequences.vocabulary.mask, 2 * end - begin - first  # behind the shadow
            both = hidden_with_shadow(self.model, ids, attention, begin, end, mask_id, cache, first, last)
            block = both[:, begin - first : behind]
            wanted = torch.cat((both[:, low - first : end - first], both[:, behind:]), dim=1)
        else:
            keep = slice(low - first, high - first)
            wanted = self.model.hidden(ids[:, first:last], attention, cache=cache, cache_start=first, keep=keep)
            block = wanted[:, begin - low : end - low]
        sides = (self.sides, -1)
        answer = wanted.unflatten(0, sides) if self.shows_answer else None
        return block.unflatten(0, sides), answer, low - start

    def _cache_of(self, rows: Tensor) -> KeyValueCache:
        """The cache for rows (N,), in their order. With drafts a copy: what a pass writes, the next writes anew."""
        assert self.cache is not None
        filled = self.cache.keys[0].shape[0] // self.sides
        where = self.cache_row[rows]
        if self.sides == 2:
            where = torch.cat((where, where + filled))
        if self.config.draft_steps:
            return self.cache.selected(where)
        if len(where) < filled * self.sides:
            self.cache.select_rows(where)
            self.cache_row[rows] = torch.arange(len(rows), device=rows.device)
        return self.cache

    def _sequences_of(self, rows: Tensor, blocks: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Token ids (S * R, T) and attention of some rows, other blocks (R, K) in their places; with guidance once more
        with the prompt masked."""
        sequences = self.sequences
        ids = sequences.tokens[rows]
        if blocks is not None:
            ids[:, self.begin : self.end] = blocks
        attention = None if sequences.attention is None else sequences.attention[rows]
        if self.sides == 2:
            blind = ids.clone()
            blind[:, : sequences.start] = sequences.vocabulary.mask
            ids = torch.cat((ids, blind))
            attention = None if attention is None else torch.cat((attention, attention))
        return ids, attention
