"""Rows to batches: length-bucketed, the same global batches whatever the number of processes.

The composition of every global batch depends on (seed, epoch) and the global batch size alone. A global batch is
shared out among the processes and cut into micro-batches afterwards, so that one process and eight see the same
optimizer steps.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from common.errors import InputError, one_line, raise_if_unreadable

BUCKET_BATCHES = 64  # rows are sorted by length within so many global batches of shuffled rows


@dataclass(frozen=True)
class Rows:
    """A formatted split in memory."""

    ids: list[str]
    tokens: list[np.ndarray]  # int32, prompt then answer
    prompt_lengths: np.ndarray  # int64
    ended: np.ndarray | None = None  # bool: the last token is the end of the answer or text; None: of every row

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens per row, int64."""
        return np.array([len(tokens) for tokens in self.tokens], dtype=np.int64)

    def take(self, indices: Sequence[int]) -> Rows:
        return Rows(
            [self.ids[i] for i in indices],
            [self.tokens[i] for i in indices],
            self.prompt_lengths[np.asarray(indices)],
            None if self.ended is None else self.ended[np.asarray(indices)],
        )

    def tails(self, indices: np.ndarray, policy: str, limit: int, draws: np.ndarray | float = 1.0) -> np.ndarray:
        """`tail_lengths` of a global batch; none where the end was cut off: what was not reached is not taught."""
        tails = tail_lengths(np.array([len(self.tokens[i]) for i in indices], dtype=np.int64), policy, limit, draws)
        return tails if self.ended is None else np.where(self.ended[indices], tails, 0)


def read_rows(path: Path) -> Rows:
    """Read `id`, `input_ids`, `prompt_length` and, where it is there, `ended` of a formatted split.

    Raises:
        InputError: the file is missing, lacks a column, or holds a row without an answer.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    made_by = "run `python -m pipeline format`"
    try:
        names = ("id", "input_ids", "prompt_length", "ended")
        table = pq.read_table(path, columns=[name for name in pq.read_schema(path).names if name in names])
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; {made_by}") from None
    except (pa.ArrowException, KeyError, OSError) as error:
        raise_if_unreadable(path, error)
        raise InputError(f"{path}: not a formatted split ({one_line(str(error), 80)}); {made_by}") from None
    missing = {"id", "input_ids", "prompt_length"} - set(table.column_names)
    if missing:
        raise InputError(f"{path}: no column {', '.join(sorted(missing))}; {made_by}")
    column = table["input_ids"].combine_chunks()
    values = column.values.to_numpy(zero_copy_only=False).astype(np.int32)
    offsets = column.offsets.to_numpy()
    tokens = [values[start:end] for start, end in itertools.pairwise(offsets)]
    ended = table["ended"].to_numpy() if "ended" in table.column_names else None
    rows = Rows(table["id"].to_pylist(), tokens, table["prompt_length"].to_numpy().astype(np.int64), ended)
    if len(rows) == 0:
        raise InputError(f"{path}: no rows")
    for identifier, length, prompt in zip(rows.ids, rows.lengths, rows.prompt_lengths, strict=True):
        if not 0 <= prompt < length:
            raise InputError(f"{path}: row {identifier} has {length} tokens, of which {prompt} prompt: no answer")
    return rows


def epoch_batches(lengths: np.ndarray, global_batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """The global batches of one epoch, as row indices sorted by length within each batch.

    Rows are shuffled, sorted by length within chunks of `BUCKET_BATCHES` global batches, cut, and the batches
    shuffled. Every row occurs exactly once; one batch per epoch may be short.
    """
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(lengths))
    chunk = BUCKET_BATCHES * global_batch_size
    batches = []
    for start in range(0, len(order), chunk):
        part = order[start : start + chunk]
        part = part[np.argsort(lengths[part], kind="stable")]
        batches += [part[i : i + global_batch_size] for i in range(0, len(part), global_batch_size)]
    return [batches[i] for i in random.permutation(len(batches))]


def batch_of_step(
    lengths: np.ndarray, global_batch_size: int, seed: int, step: int, cache: dict[int, list[np.ndarray]]
) -> np.ndarray:
    """The global batch of optimizer step `step` (from 0), over as many epochs as it takes. `cache` holds one epoch."""
    epoch, index = divmod(step, steps_per_epoch(len(lengths), global_batch_size))
    if epoch not in cache:
        cache.clear()
        cache[epoch] = epoch_batches(lengths, global_batch_size, seed, epoch)
    return cache[epoch][index]


def steps_per_epoch(rows: int, global_batch_size: int) -> int:
    return math.ceil(rows / global_batch_size)


def accumulation_steps(global_batch_size: int, micro_batch_size: int, processes: int) -> int:
    """Forward passes per optimizer step on each process, derived from the global batch size in rows.

    Raises:
        InputError: fewer rows than processes.
    """
    if global_batch_size < processes:
        raise InputError(
            f"train.global_batch_size: {global_batch_size} rows cannot be shared by {processes} processes; "
            f"take at least {processes}, or start {global_batch_size}: `accelerate launch --num_processes`"
        )
    return math.ceil(global_batch_size / (processes * micro_batch_size))


def share(rows: int, accumulation: int, rank: int, processes: int) -> list[np.ndarray]:
    """Which positions of a global batch of `rows` rows a process handles in each of its forward passes.

    Passes are contiguous runs of the length-sorted batch (little padding); within a pass the rows are dealt out in
    turn (equal work). An empty array means that the process has nothing to do but must take part in the reduction.
    """
    return [part[rank::processes] for part in np.array_split(np.arange(rows), accumulation)]


@dataclass(frozen=True)
class Batch:
    """Padded rows. B rows of L positions."""

    input_ids: Tensor  # (B, L) int64
    attention_mask: Tensor | None  # (B, L) int64, 0 on padding; None where there is none
    maskable: Tensor  # (B, L) bool: the answer and the supervised part of the EOS tail

    @property
    def tokens(self) -> int:
        """Positions that are not padding."""
        return self.input_ids.numel() if self.attention_mask is None else int(self.attention_mask.sum())

    def to(self, device: torch.device) -> Batch:
        if device.type == "cpu":
            return self
        mask = self.attention_mask
        return Batch(
            self.input_ids.to(device, non_blocking=True),
            None if mask is None else mask.to(device, non_blocking=True),
            self.maskable.to(device, non_blocking=True),
        )


RAINBOW_TURNS = 4  # the longest rainbow tail is so many turns of its colours


def tail_lengths(lengths: np.ndarray, policy: str, limit: int, draws: np.ndarray | float = 1.0) -> np.ndarray:
    """How many tokens follow each answer of a global batch as supervised positions.

    `all` fills every row to the longest of the global batch, as the LLaDA guideline pads; `first:K` gives every row K,
    and padding after them is hidden by the attention mask; `random:K` gives 0 to K, so that where a row ends does not
    give away where its answer does; `rainbow:K` gives 1 to 4 K; `none` gives none. No row grows beyond `limit`
    positions.

    Args:
        draws: of `random:K` and `rainbow:K`, in [0, 1], one per row or one for all; the default 1 gives the longest.
    """
    if policy == "none":
        tails = np.zeros_like(lengths)
    elif policy == "all":
        tails = lengths.max() - lengths
    elif policy.startswith("random:"):
        most = int(policy.removeprefix("random:"))
        tails = np.minimum((draws * (most + 1) + 0 * lengths).astype(np.int64), most)
    elif policy.startswith("rainbow:"):
        most = RAINBOW_TURNS * int(policy.removeprefix("rainbow:"))
        tails = 1 + np.minimum((draws * most + 0 * lengths).astype(np.int64), most - 1)
    else:
        tails = np.full_like(lengths, int(policy.removeprefix("first:")))
    return np.minimum(tails, np.maximum(limit - lengths, 0))


def collate(
    tokens: Sequence[np.ndarray],
    prompt_lengths: np.ndarray,
    tails: np.ndarray,
    eos_token_id: int,
    pad_token_id: int,
    rainbow: Sequence[int] = (),
) -> Batch:
    """Pad rows on the right: prompt, answer, a tail of so many tokens, then padding that nothing attends to.

    Args:
        rainbow: what follows the first EOS of a tail, in turn; none: EOS alone.
    """
    colours = [eos_token_id] if len(rainbow) == 0 else rainbow
    tail = np.array([eos_token_id, *(colours[i % len(colours)] for i in range(max(tails, default=0)))])
    lengths = np.array([len(row) for row in tokens], dtype=np.int64)
    ends = lengths + tails
    width = int(ends.max())
    ids = np.full((len(tokens), width), pad_token_id, dtype=np.int64)
    for i, row in enumerate(tokens):
        ids[i, : len(row)] = row
        ids[i, len(row) : ends[i]] = tail[: tails[i]]
    positions = np.arange(width)
    real = positions < ends[:, None]
    maskable = real & (positions >= prompt_lengths[:, None])
    return Batch(
        torch.from_numpy(ids),
        None if real.all() else torch.from_numpy(real.astype(np.int64)),
        torch.from_numpy(maskable),
    )


def padding_waste(lengths: np.ndarray, batches: Sequence[np.ndarray]) -> float:
    """Share of padded positions over all positions when each batch is padded to its longest row."""
    padded = sum(int(lengths[batch].max()) * len(batch) for batch in batches)
    return 1 - int(lengths.sum()) / padded
