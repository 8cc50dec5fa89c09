"""The sequences of a batch: prompts, answers with masks, who has stopped; and the checks of what a caller passes in.

Shapes: B rows, P prompt positions (padding on the left included), G answer positions, T = P + G, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from llada.network.token_ids import end_token_ids
from llada.sampling.growth import Move
from llada.sampling.settings import SamplerConfig

Allowed = Mapping[int, Sequence[int]]
"""A constraint: answer position -> the token ids that may stand there."""

PUBLISHED_VOCABULARY = {126464: 126349}
"""Rows of LLaDA-8B's embedding -> ids its tokenizer knows; the config does not say."""


@dataclass(frozen=True)
class Vocabulary:
    """The ids that mean something to the sampler."""

    size: int  # V, the width of the logits
    mask: int
    pad: int
    stops: tuple[int, ...]
    known: int  # ids from here on are unused

    @classmethod
    def of(cls, model_config: Any, config: SamplerConfig) -> Vocabulary:
        """Read the ids from a model's config, with the sampler's overrides.

        Raises:
            ValueError: an id is missing or lies outside the vocabulary.
        """
        size = model_config.embedding_size or model_config.vocab_size
        mask = model_config.mask_token_id
        if mask is None or not 0 <= mask < size:
            raise ValueError(f"the model config's mask_token_id is {mask}; it must lie in [0, {size})")
        stops = config.stop_token_ids
        if stops is None:
            stops = end_token_ids(model_config)
        wrong = [token for token in stops if not 0 <= token < size or token == mask]
        if wrong:
            raise ValueError(f"stop_token_ids holds {wrong}; allowed: ids in [0, {size}) other than the mask token")
        if not stops and (config.stop_at_eos or config.eos_policy != "none"):
            raise ValueError(
                "stop_token_ids is empty and the model config names no eos_token_id, but the settings need one"
            )
        pads = (model_config.pad_token_id, model_config.eos_token_id, *stops)
        pad = next((token for token in pads if token is not None and token != mask), 0)
        known = config.known_tokens or PUBLISHED_VOCABULARY.get(size, model_config.vocab_size)
        return cls(size, mask, pad, stops, min(known, size))

    def forbidden(self) -> list[int]:
        """The ids that are never chosen."""
        return sorted({self.mask, *range(self.known, self.size)})


class SequenceBatch:
    """The sequences of a batch while they are denoised.

    Attributes:
        tokens: (B, T) int64. The mask token stands where a token is still to be written, the pad token where none will.
        attention: (B, T) bool, or None when every position counts for every row.
        free: (B, G) bool, answer positions that were not given. last_given: (B,) int64, the last given one, or -1.
        lengths: (B,) int64, answer positions in use; only growing rows have fewer than G.
        stopped: (B,) bool, rows that met a stop token with nothing masked before it.
    """

    def __init__(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        answer: Tensor | None,
        config: SamplerConfig,
        vocabulary: Vocabulary,
    ) -> None:
        self.config, self.vocabulary = config, vocabulary
        self.real = _checked_prompts(input_ids, attention_mask, vocabulary.mask)
        B, self.start = input_ids.shape
        device = input_ids.device
        template = torch.full((B, config.gen_length), vocabulary.mask, dtype=torch.int64, device=device)
        if answer is not None:
            template = _checked_answer(answer, template, vocabulary)
        unused = torch.full((B, config.longest - config.gen_length), vocabulary.pad, dtype=torch.int64, device=device)
        self.tokens = torch.cat((input_ids, template, unused), dim=1)
        self.free = torch.cat((template == vocabulary.mask, torch.ones_like(unused, dtype=torch.bool)), dim=1)  # (B, G)
        places = torch.arange(config.longest, device=device)
        self.last_given = torch.where(self.free, -1, places).amax(dim=1)
        self.places = places
        self.stops = torch.tensor(vocabulary.stops, dtype=torch.int64, device=device)
        self.lengths = torch.full((B,), config.gen_length, dtype=torch.int64, device=device)
        self.stopped = torch.zeros(B, dtype=torch.bool, device=device)
        self.attention = None
        if self.real is not None or config.longest > config.gen_length:
            real = torch.ones_like(input_ids, dtype=torch.bool) if self.real is None else self.real
            used = (places < config.gen_length).expand(B, -1)
            self.attention = torch.cat((real, used), dim=1)

    @property
    def answers(self) -> Tensor:
        """(B, G) int64, a view."""
        return self.tokens[:, self.start :]

    @property
    def masked(self) -> Tensor:
        """(B, G) bool."""
        return self.answers == self.vocabulary.mask

    def prompt_lengths(self) -> Tensor:
        """(B,) int64: prompt tokens of each row, padding not counted."""
        return torch.full_like(self.lengths, self.start) if self.real is None else self.real.sum(dim=1)

    def prompts(self) -> list[list[int]]:
        """Each row's own prompt and given tokens, without padding: what a row's answer may depend on."""
        real = torch.ones_like(self.tokens[:, : self.start], dtype=torch.bool) if self.real is None else self.real
        rows = zip(self.tokens.tolist(), real.tolist(), strict=True)
        return [
            [token for token, keep in zip(row, keeps, strict=False) if keep] + row[self.start :] for row, keeps in rows
        ]

    def stop_rows(self, rows: Tensor) -> Tensor:
        """Mark and fill those of `rows` (R,) that have stopped; return which, (R,) bool.

        A row stops at a stop token with no mask before it and no given token after it; what follows becomes padding.
        """
        answers = self.answers[rows]  # (R, G)
        place = self.places.expand_as(answers)
        beyond = answers.shape[1]
        ending = torch.isin(answers, self.stops) & (place >= self.last_given[rows, None])
        ending &= place < self.lengths[rows, None]
        first_stop = torch.where(ending, place, beyond).amin(dim=1)
        first_mask = torch.where(answers == self.vocabulary.mask, place, beyond).amin(dim=1)
        stopped = first_stop < first_mask
        tail = stopped[:, None] & (place > first_stop[:, None])
        self.tokens[rows, self.start :] = answers.masked_fill(tail, self.vocabulary.pad)
        self.stopped[rows] |= stopped
        return stopped

    def grow(self, rows: Tensor) -> None:
        """Give each of `rows` (R,) masks: another block, or what its last block lacks."""
        K = self.config.block_length
        place = self.places.expand(len(rows), -1)
        old = self.lengths[rows, None]
        new = (old // K + 1) * K
        fresh = (place >= old) & (place < new)
        self.tokens[rows, self.start :] = self.answers[rows].masked_fill(fresh, self.vocabulary.mask)
        self._lengthened(rows, new[:, 0])

    def move(self, move: Move) -> None:
        """Make a mask of some rows several; what stands behind it moves on, and the answer becomes longer."""
        for table in (self.answers, self.free):
            move.apply(table)
        self.last_given[move.rows] = torch.where(self.free[move.rows], -1, self.places).amax(dim=1)
        self._lengthened(move.rows, self.lengths[move.rows] + move.more)

    def _lengthened(self, rows: Tensor, lengths: Tensor) -> None:
        self.lengths[rows] = lengths
        if self.attention is not None:
            self.attention[rows, self.start :] = self.places < lengths[:, None]

    def lengths_to_stop(self) -> Tensor:
        """(B,) int64: answer tokens up to the first stop token, itself included; all in use where there is none."""
        place = self.places.expand_as(self.answers)
        ending = torch.isin(self.answers, self.stops) & (place < self.lengths[:, None])
        return torch.minimum(torch.where(ending, place + 1, self.lengths[:, None]).amin(dim=1), self.lengths)


def constraint_table(
    allowed: Allowed | Sequence[Allowed | None] | None,
    rows: int,
    config: SamplerConfig,
    vocabulary: Vocabulary,
    device: torch.device,
) -> tuple[Tensor, Tensor] | None:
    """(B, G) int64 index into a table (sets + 1, V) bool, whose row 0 allows everything; None without constraints.

    Raises:
        ValueError: a position or id is out of range, or a position is left without any token that may be chosen.
    """
    if allowed is None:
        return None
    per_row = [allowed] * rows if isinstance(allowed, Mapping) else list(allowed)
    if len(per_row) != rows:
        raise ValueError(
            f"allowed has {len(per_row)} entries, needed: one mapping for all rows, or one for each of {rows}"
        )
    excluded = set(vocabulary.forbidden())
    if config.eos_policy == "suppress":
        excluded.update(vocabulary.stops)
    index = torch.zeros(rows, config.longest, dtype=torch.int64)
    known_sets: dict[frozenset[int], int] = {}
    for row, constraints in enumerate(per_row):
        for place, ids in (constraints or {}).items():
            if not 0 <= place < config.longest:
                raise ValueError(f"allowed names answer position {place}; allowed: 0 to {config.longest - 1}")
            choosable = frozenset(int(token) for token in ids) - excluded
            if not choosable or min(choosable) < 0 or max(choosable) >= vocabulary.size:
                raise ValueError(
                    f"allowed[{place}] is {sorted(ids)[:8]}; needed: ids in [0, {vocabulary.known}), at least "
                    "one of which is neither the mask token nor suppressed"
                )
            index[row, place] = known_sets.setdefault(choosable, len(known_sets) + 1)
    table = torch.zeros(len(known_sets) + 1, vocabulary.size, dtype=torch.bool)
    table[0] = True
    for choosable, number in known_sets.items():
        table[number, sorted(choosable)] = True
    return index.to(device), table.to(device)


def _checked_prompts(input_ids: Tensor, attention_mask: Tensor | None, mask_id: int) -> Tensor | None:
    """(B, P) bool, True where a token is real; None where nothing is padded."""
    if input_ids.ndim != 2 or input_ids.dtype != torch.int64 or 0 in input_ids.shape:
        raise ValueError(f"input_ids is {tuple(input_ids.shape)} {input_ids.dtype}; needed: (B, P) int64, not empty")
    real = torch.ones_like(input_ids, dtype=torch.bool)
    if attention_mask is not None:
        if attention_mask.shape != input_ids.shape:
            raise ValueError(f"attention_mask is {tuple(attention_mask.shape)}; needed: {tuple(input_ids.shape)}")
        real = attention_mask.to(device=input_ids.device).bool()
        if bool((real[:, :-1] & ~real[:, 1:]).any()) or not bool(real[:, -1].all()):
            raise ValueError("attention_mask has padding behind a prompt's first token; pad prompts on the left")
    if bool(((input_ids == mask_id) & real).any()):
        raise ValueError(f"input_ids holds the mask token {mask_id}; free places of the answer are given with `answer`")
    return None if bool(real.all()) else real


def _checked_answer(answer: Tensor, template: Tensor, vocabulary: Vocabulary) -> Tensor:
    if answer.shape != template.shape or answer.dtype != torch.int64:
        raise ValueError(f"answer is {tuple(answer.shape)} {answer.dtype}; needed: {tuple(template.shape)} int64")
    if bool(((answer < 0) | (answer >= vocabulary.size)).any()):
        raise ValueError(f"answer holds ids outside [0, {vocabulary.size})")
    return answer.to(template.device)
