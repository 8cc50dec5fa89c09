"""Batches: every row once, the same for any number of processes, and little padding."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from common.errors import InputError
from tests.support.small_world import EOS, random_rows, write_split
from training.batching import (
    accumulation_steps,
    batch_of_step,
    collate,
    epoch_batches,
    padding_waste,
    read_rows,
    share,
    tail_lengths,
)

LENGTHS = np.random.default_rng(0).lognormal(4.2, 0.6, size=4003).astype(np.int64).clip(4, 512)


def test_every_row_occurs_once_per_epoch():
    batches = epoch_batches(LENGTHS, 16, seed=1, epoch=0)
    assert sorted(np.concatenate(batches)) == list(range(len(LENGTHS)))
    assert sorted(map(len, batches)) == [4003 % 16] + [16] * (4003 // 16)


def test_batches_depend_on_seed_and_epoch_alone():
    again = epoch_batches(LENGTHS, 16, seed=1, epoch=0)
    assert all(np.array_equal(a, b) for a, b in zip(epoch_batches(LENGTHS, 16, 1, 0), again, strict=True))
    first = {tuple(batch) for batch in again}
    for seed, epoch in ((1, 1), (2, 0)):  # the few longest rows may meet again
        assert len(first & {tuple(batch) for batch in epoch_batches(LENGTHS, 16, seed, epoch)}) <= 1


def test_a_step_finds_its_batch_without_the_steps_before_it():
    cache = {}
    in_order = [batch_of_step(LENGTHS, 16, 1, step, cache) for step in range(520)]
    assert all(np.array_equal(in_order[step], batch_of_step(LENGTHS, 16, 1, step, {})) for step in (0, 250, 251, 519))


def test_bucketing_wastes_under_five_percent_where_shuffling_wastes_a_third():
    assert padding_waste(LENGTHS, epoch_batches(LENGTHS, 16, 1, 0)) < 0.05
    shuffled = np.array_split(np.random.default_rng(0).permutation(len(LENGTHS)), 251)
    assert padding_waste(LENGTHS, shuffled) > 0.3


def test_lengths_of_batches_do_not_come_in_order():
    means = [LENGTHS[batch].mean() for batch in epoch_batches(LENGTHS, 16, 1, 0)]
    assert abs(np.corrcoef(np.arange(len(means)), means)[0, 1]) < 0.4


@pytest.mark.parametrize("processes", [1, 2, 3, 8])
@pytest.mark.parametrize("rows", [1, 7, 16])
def test_processes_share_a_global_batch_without_overlap(processes, rows):
    accumulation = accumulation_steps(16, 3, processes)
    parts = [part for rank in range(processes) for part in share(rows, accumulation, rank, processes)]
    assert sorted(np.concatenate(parts)) == list(range(rows))
    assert max(len(part) for part in parts) <= 3
    counts = {len(share(rows, accumulation, rank, processes)) for rank in range(processes)}
    assert counts == {accumulation}  # every process takes part in as many reductions


def test_accumulation_follows_from_the_global_batch():
    assert accumulation_steps(16, 16, 1) == 1
    assert accumulation_steps(16, 4, 2) == 2
    assert accumulation_steps(16, 5, 1) == 4
    with pytest.raises(InputError, match=r"global_batch_size: 2.*4 processes"):
        accumulation_steps(2, 1, 4)


def test_tail_policies():
    lengths = np.array([5, 9, 20])
    assert tail_lengths(lengths, "none", 100).tolist() == [0, 0, 0]
    assert tail_lengths(lengths, "first:4", 100).tolist() == [4, 4, 4]
    assert tail_lengths(lengths, "first:4", 22).tolist() == [4, 4, 2]
    assert tail_lengths(lengths, "all", 100).tolist() == [15, 11, 0]
    assert tail_lengths(lengths, "random:9", 100).tolist() == [9, 9, 9]
    assert tail_lengths(lengths, "rainbow:3", 100, np.array([0.0, 0.5, 0.999])).tolist() == [1, 7, 12]
    assert tail_lengths(lengths, "rainbow:3", 100).tolist() == [12, 12, 12]
    assert tail_lengths(lengths, "random:9", 22, np.array([0.0, 0.55, 0.999])).tolist() == [0, 5, 2]


def test_random_tails_take_every_length_about_equally_often() -> None:
    lengths = np.full(1000, 10)
    counts = np.bincount(tail_lengths(lengths, "random:4", 100, np.random.default_rng(0).random(1000)))
    assert len(counts) == 5
    assert counts.min() > 150  # of 200 each; 4 standard deviations of the binomial


def test_prompt_and_padding_are_never_maskable():
    rows = [np.array([1, 2, 3, 4, 5]), np.array([6, 7])]
    batch = collate(rows, np.array([2, 1]), np.array([0, 1]), eos_token_id=EOS, pad_token_id=0)
    assert batch.input_ids.tolist() == [[1, 2, 3, 4, 5], [6, 7, EOS, 0, 0]]
    assert batch.attention_mask.tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]
    assert batch.maskable.tolist() == [[False, False, True, True, True], [False, True, True, False, False]]
    assert batch.tokens == 8


def test_no_mask_where_nothing_is_padded():
    batch = collate([np.array([1, 2]), np.array([3, 4])], np.array([1, 1]), np.array([1, 1]), EOS, EOS)
    assert batch.attention_mask is None
    assert torch.equal(batch.input_ids[:, 2], torch.tensor([EOS, EOS]))


def test_rows_come_back_as_written(tmp_path):
    rows = random_rows(20, seed=3)
    write_split(tmp_path / "train.parquet", rows)
    read = read_rows(tmp_path / "train.parquet")
    assert [tokens.tolist() for tokens in read.tokens] == [ids for ids, _ in rows]
    assert read.prompt_lengths.tolist() == [prompt for _, prompt in rows]
    assert read.lengths.tolist() == [len(ids) for ids, _ in rows]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "no such file; run `python -m pipeline format`"),
        (lambda path: path.write_bytes(b"no parquet"), "not a formatted split"),
        (lambda path: pq.write_table(pa.table({"id": ["a"]}), path), "not a formatted split|no column"),
        (lambda path: write_split(path, []), "no rows"),
        (lambda path: write_split(path, [([1, 2, 3], 3)]), "row-0 has 3 tokens, of which 3 prompt: no answer"),
    ],
)
def test_faults_of_a_split_are_named(tmp_path, make, words):
    path = tmp_path / "train.parquet"
    make(path)
    with pytest.raises(InputError, match=words) as fault:
        read_rows(path)
    assert str(path) in str(fault.value)


def test_a_rainbow_is_one_eos_and_then_its_colours_in_turn():
    rows, tails = [np.array([1, 2]), np.array([3, 4, 5])], np.array([6, 1])
    batch = collate(rows, np.array([1, 1]), tails, EOS, 0, rainbow=(7, 8))
    assert batch.input_ids.tolist() == [[1, 2, EOS, 7, 8, 7, 8, 7], [3, 4, 5, EOS, 0, 0, 0, 0]]
    assert batch.maskable.tolist() == [[False, *[True] * 7], [False, True, True, True, *[False] * 4]]
