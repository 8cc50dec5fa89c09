"""What is remembered from step to step: a block and what its rows have done, credits and last predictions, an outlook.

    Credits   for rule credit: Wang et al. 2025, arXiv 2510.06133 (CreditDecoding): C <- decay * C;
              C[i, best] += p^power; logits += weight * log(1 + C)
    Calm      for rule klass: Kim et al. 2025, arXiv 2511.05664: KL(p_t || p_(t-1)) at every masked position
    Outlook   for early exits: what the model last said of every answer position

Each is a table over all rows of the batch, so that rows may come and go. Shapes: B rows, K positions of the block, G of
the answer, n positions at hand (their rows `at` and places `place`, (n,) int64), V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from llada.sampling.growth import Move
from llada.sampling.rules import exits
from llada.sampling.settings import SamplerConfig
from llada.sampling.token_choice import TokenChoices


@dataclass
class Block:
    """A block while it is denoised: where it lies, the rows that still work on it, and what each of them has done."""

    number: int
    place: slice  # of the answer's G positions
    rows: Tensor  # (R,) int64
    opened: Tensor  # (B,) int64, masked positions as the block opened
    step: Tensor  # (B,) int64, steps made in this block
    drafted: Tensor  # (B,) int64, positions committed by the step before
    said: Said  # by the model in the step before, for drafts
    credits: Credits | None
    calm: Calm | None

    def move(self, move: Move) -> None:
        """Positions of the answer have moved, from a place in this block on."""
        inside = move.within(self.place)
        for said in (self.said.tokens, self.said.scores, self.said.entropies):
            inside.apply(said)
        for memory in (self.credits, self.calm):
            if memory is not None:
                memory.move(inside)


@dataclass
class Said:
    tokens: Tensor  # (B, K) int64
    scores: Tensor  # (B, K) float32
    entropies: Tensor  # (B, K) float32


class Credits:
    """The credit of a block's tokens. Kept as one token and one amount for each step, not over the vocabulary."""

    def __init__(self, rows: int, config: SamplerConfig, device: torch.device) -> None:
        self.config = config
        self.tokens = torch.zeros(rows, config.block_length, 0, dtype=torch.int64, device=device)
        # float64: how many steps others took, and so how many zeros are added up, must not show in float32
        self.amounts = torch.zeros(rows, config.block_length, 0, dtype=torch.float64, device=device)

    def move(self, move: Move) -> None:
        """Positions have moved inside the block; new masks have earned nothing."""
        move.apply(self.tokens)
        move.apply(self.amounts, new=0.0)

    def decay(self, rows: Tensor) -> None:
        """Begin a step of `rows` (R,)."""
        self.amounts[rows] *= self.config.credit_decay
        self.tokens = torch.nn.functional.pad(self.tokens, (0, 1))
        self.amounts = torch.nn.functional.pad(self.amounts, (0, 1))

    def raised(self, logits: Tensor, best: Tensor, at: Tensor, place: Tensor) -> Tensor:
        """Give the `best` token (n,) of each position its credit; return the logits (n, V) with all credits added."""
        probability = logits.softmax(dim=-1).gather(1, best[:, None])[:, 0]
        self.tokens[at, place, -1] = best
        self.amounts[at, place, -1] = probability.double() ** self.config.credit_power
        tokens, amounts = self.tokens[at, place], self.amounts[at, place]  # (n, steps)
        credit = ((tokens[:, :, None] == tokens[:, None]) * amounts[:, None]).sum(dim=-1)  # a token's steps together
        rise = (self.config.credit_weight * credit.log1p()).to(logits.dtype)
        return logits.scatter(1, tokens, logits.gather(1, tokens) + rise)


class Calm:
    """For how many steps in a row each position's prediction has hardly changed. Holds (B, K, V) float32."""

    def __init__(self, rows: int, config: SamplerConfig, device: torch.device) -> None:
        self.config = config
        self.steps = torch.full((rows, config.block_length), -1, dtype=torch.int64, device=device)
        self.before: Tensor | None = None  # (B, K, V), logarithms of probabilities

    def move(self, move: Move) -> None:
        """Positions have moved inside the block; for new masks there is no step before."""
        move.apply(self.steps, new=-1)
        if self.before is not None:
            move.apply(self.before)

    def look(self, now: Tensor, at: Tensor, place: Tensor) -> None:
        """Compare the logarithms of probabilities (n, V) with those of the step before."""
        if self.before is None:
            self.before = now.new_zeros(*self.steps.shape, now.shape[1])
        before = self.before[at, place]
        divergence = torch.where(now.isfinite(), now.exp() * (now - before), 0.0).sum(dim=-1)
        steps = self.steps[at, place]
        calm = (divergence < self.config.kl_threshold) & (steps >= 0)  # -1: there is no step before
        self.steps[at, place] = torch.where(calm, steps + 1, 0)
        self.before[at, place] = now


class Outlook:
    """What the model last said of every position of the answers, and for how many steps each row has been at work."""

    def __init__(self, answers: Tensor, config: SamplerConfig) -> None:
        self.config = config
        self.tokens = torch.full_like(answers, -1)  # (B, G), what it would write there
        self.scores = torch.zeros(answers.shape, device=answers.device)
        self.measures = torch.zeros(answers.shape, device=answers.device)  # gaps of logits, or entropies in nats
        self.canvas = torch.full_like(answers, -1)
        self.steps = torch.zeros(len(answers), dtype=torch.int64, device=answers.device)

    def move(self, move: Move) -> None:
        """Positions have moved; nothing has been said of new masks."""
        for table in (self.tokens, self.canvas):
            move.apply(table, new=-1)
        for table in (self.scores, self.measures):
            move.apply(table)

    def note(self, at: Tensor, place: Tensor, said: TokenChoices) -> None:
        """Write down n positions: rows `at`, answer positions `place`."""
        assert said.measures is not None  # with an early exit the chooser gives them
        self.tokens[at, place], self.scores[at, place], self.measures[at, place] = (
            said.tokens,
            said.scores,
            said.measures,
        )

    def leaving(self, rows: Tensor, answers: Tensor, masked: Tensor, used: Tensor) -> Tensor:
        """(R,) bool: the rows that finish now, after `note` of this step.

        Args:
            answers: (R, G) int64, before the step writes. masked, used: (R, G) bool, still masked, part of the answer.
        """
        self.steps[rows] += 1
        canvas = torch.where(masked, self.tokens[rows], answers)
        unchanged = ((canvas == self.canvas[rows]) | ~used).all(dim=1)
        self.canvas[rows] = canvas
        mean = self.measures[rows].masked_fill(~used, 0.0).sum(dim=1) / used.sum(dim=1)
        return exits(mean, unchanged, self.steps[rows] / self.config.steps, self.config)
