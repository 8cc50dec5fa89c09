"""Answers that grow in the middle: where a mask becomes several, and what moves with it.

Source: Li et al. 2025, arXiv 2508.00819 (DAEDAL), its second stage, iterative denoising with mask insertion: while the
model does not expect an end where the answer ends, the mask of the block of which it is least sure becomes several. Its
first stage, the length to begin with, is in `engine`. Here the expectation of an end is, in both stages, the mean
probability of a stop token over the answer's last block length of positions.

Shapes: B rows, R rows at hand, K positions of the block, G answer positions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from llada.sampling.settings import SamplerConfig

if TYPE_CHECKING:
    from llada.sampling.sequences import SequenceBatch


def tail(lengths: Tensor, config: SamplerConfig) -> Tensor:
    """(R, G) bool: the last block length of positions of answers of `lengths` (R,) int64."""
    place, end = torch.arange(config.longest, device=lengths.device), lengths[:, None]
    return (place >= end - config.block_length) & (place < end)


def splits(
    chances: Tensor, waiting: Tensor, ending: Tensor, room: Tensor, config: SamplerConfig
) -> tuple[Tensor, Tensor]:
    """Which mask of each row becomes several: its place in the block, and by how many there are more, 0 for none.

    Args:
        chances: (R, K) float32, the probability of what each mask would become.
        waiting: (R, K) bool, the masks that may be split.
        ending: (R,) float32, how surely the end is expected where it is. room: (R,) int64, by how much a row may grow.

    Returns:
        Two (R,) int64.
    """
    least, place = chances.masked_fill(~waiting, torch.inf).min(dim=1)
    splitting = (least < config.insert_below) & (ending < config.insert_tail_confidence)
    return place, room.clamp(max=config.insert_masks - 1).where(splitting, torch.zeros_like(room))


def sources(place: Tensor, more: Tensor, positions: int) -> Tensor:
    """(R, positions) int64: where what stands at each position stood before. The mask at `place` (R,) stands at `more`
    (R,) more positions now, and what was behind it moved on."""
    to = torch.arange(positions, device=place.device)
    return to - (to - place[:, None]).clamp(min=0).minimum(more[:, None])


class Move:
    """Rows in which something was inserted: applies their `sources` to any table over the batch."""

    def __init__(self, rows: Tensor, place: Tensor, more: Tensor, positions: int) -> None:
        """rows, place (in the answer), more: (R,) int64. positions: G."""
        self.rows, self.place, self.more = rows, place, more
        self.source = sources(place, more, positions)  # (R, G)
        to = torch.arange(positions, device=rows.device)
        self.fresh = (to >= place[:, None]) & (to <= (place + more)[:, None])  # (R, G): the new masks

    def within(self, block: slice) -> Move:
        """The same inside a block, which holds the place; what leaves the block at its end is lost."""
        part = Move.__new__(Move)
        part.rows, part.place, part.more = self.rows, self.place - block.start, self.more
        part.source, part.fresh = self.source[:, block] - block.start, self.fresh[:, block]
        return part

    def apply(self, table: Tensor, new: float | None = None) -> None:
        """Move a table (B, G, ...) in place; new masks get the value `new`, or (None) that of the mask they were."""
        at = torch.arange(len(self.rows), device=table.device)[:, None]
        moved = table[self.rows][at, self.source]
        if new is not None:
            moved[self.fresh] = new
        table[self.rows] = moved


class Insertions:
    """What the model last said of the ends of the answers, and where it therefore inserts masks."""

    def __init__(self, sequences: SequenceBatch, config: SamplerConfig) -> None:
        self.sequences, self.config = sequences, config
        self.endings = torch.zeros(sequences.answers.shape, device=sequences.tokens.device)  # (B, G), of a stop token

    def move(self, move: Move) -> None:
        """Positions have moved."""
        move.apply(self.endings)

    def looks_at(self, rows: Tensor, first: int, count: int) -> Tensor:
        """(R, count) bool: which of so many answer positions from `first` on are the ends of rows that may grow."""
        lengths = self.sequences.lengths[rows]
        growing = lengths < self.config.longest
        return (tail(lengths, self.config) & growing[:, None])[:, first : first + count]

    def note(self, rows: Tensor, first: int, wanted: Tensor, probabilities: Tensor) -> None:
        """Write down the probabilities (N,) of a stop token at the positions that `looks_at` named."""
        at, place = wanted.nonzero(as_tuple=True)
        self.endings[rows[at], place + first] = probabilities

    def choose(self, rows: Tensor, chances: Tensor, waiting: Tensor, block: slice) -> Move | None:
        """Where masks are inserted now, if anywhere; arguments as of `splits`, the block's positions being `block`."""
        lengths = self.sequences.lengths[rows]
        ending = (self.endings[rows] * tail(lengths, self.config)).sum(dim=1) / self.config.block_length
        place, more = splits(chances, waiting, ending, self.config.longest - lengths, self.config)
        at = (more > 0).nonzero()[:, 0]
        if len(at) == 0:
            return None
        return Move(rows[at], place[at] + block.start, more[at], self.config.longest)
