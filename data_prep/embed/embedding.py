"""Stage `embed`: one L2-normalised vector per candidate, pooled as the encoder's own folder says.

The texts are tokenised once, sorted by length and cut into shards; within a shard batches hold about the same number of
tokens, so that hardly anything is padding. Each finished shard lies in the scratch folder under a name that carries its
checksum: a killed run continues, a damaged shard is done again, and the result is the same as without interruption.
Launched by `accelerate launch`, the processes (GPUs) share the shards.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from common import seals
from common.errors import InputError
from common.files import atomic_path, model_files, sha256_of_json, sha256_of_model_folder, write_json
from common.progress import console, progress_bar
from common.text.sentence_encoder import MAX_TOKENS, SentenceEncoder, load_encoder
from data_prep.config import DataConfig
from data_prep.rows.documents import FORM, leading_texts

TOKENS_PER_ROW = 128
"""A batch holds at most `embed_batch_size` x this many tokens, padding included: many short texts or few long ones."""
SHARD_ROWS = 8192


def embed(
    data: DataConfig, *, candidates: Path, encoder: Path, embeddings: Path, ids: Path, facts: Path, scratch: Path
) -> None:
    """Write the embeddings, (N, D) float32, each row of length 1, and the candidates' ids in the same order.

    Raises:
        InputError: the encoder cannot be loaded.
    """
    import torch
    from accelerate import PartialState

    state = PartialState()
    names = ("id", "input", "output", FORM)
    stored = pq.ParquetFile(candidates)
    table = stored.read(columns=[name for name in stored.schema_arrow.names if name in names])
    texts = texts_to_embed(table, data.embed_text)
    device = str(state.device)
    loaded = load_encoder(encoder, device, torch.bfloat16 if device.startswith("cuda") else torch.float32)
    tokens = tokenize(loaded, texts)
    shards = Shards.of(scratch, _fingerprint(data, table["id"].to_pylist(), texts, encoder, loaded.how), tokens)
    started = time.monotonic()
    done = _embed_shards(loaded, tokens, shards, data.embed_batch_size, state)
    state.wait_for_everyone()
    if not state.is_main_process:
        return
    if done:
        console.print(f"embedded {done:,} texts, {done / (time.monotonic() - started):,.0f} per second")
    vectors = shards.assemble(len(texts))
    with atomic_path(embeddings) as temporary:
        np.save(temporary, vectors)
    with atomic_path(ids) as temporary:
        pq.write_table(table.select(["id"]), temporary, compression="zstd")
    content = _facts(data, tokens, loaded, vectors)
    write_json(facts, seals.sealed(facts, content, read=[candidates, *model_files(encoder)], wrote=[embeddings, ids]))
    shards.remove()


def texts_to_embed(table: pa.Table, choice: str) -> list[str]:
    """The texts to embed: `input`, `output`, or `both` with a line break between; of raw text always the text."""
    leading, outputs = leading_texts(table), table["output"].to_pylist()
    if choice == "both":
        inputs = table["input"].to_pylist()
        return [
            f"{given}\n{answer}" if given == lead else answer
            for given, lead, answer in zip(inputs, leading, outputs, strict=True)
        ]
    return leading if choice == "input" else outputs


@dataclass(frozen=True)
class Tokens:
    """Token ids of each text, special tokens included, truncated."""

    ids: list[list[int]]
    truncated: int

    def lengths(self) -> np.ndarray:
        return np.fromiter(map(len, self.ids), dtype=np.int64, count=len(self.ids))


def tokenize(encoder: SentenceEncoder, texts: Sequence[str]) -> Tokens:
    """Tokenise every text once, with the encoder's own limit; longer texts are truncated, and counted."""
    tokenizer, limit = encoder.tokenizer, encoder.limit
    ids: list[list[int]] = []
    truncated = 0
    with progress_bar(len(texts) > SHARD_ROWS) as progress:
        task = progress.add_task("tokenising", total=len(texts), note="")
        for start in range(0, len(texts), SHARD_ROWS):
            # no token is 64 characters long
            chunk = [encoder.prefix + text[: 64 * limit] for text in texts[start : start + SHARD_ROWS]]
            batch = tokenizer(chunk, truncation=False, add_special_tokens=True, verbose=False)["input_ids"]
            full = [number for number, row in enumerate(batch) if len(row) > limit]
            truncated += len(full)
            if full:
                cut = tokenizer([chunk[number] for number in full], truncation=True, max_length=limit)["input_ids"]
                for number, row in zip(full, cut, strict=True):
                    batch[number] = row
            ids += batch
            progress.advance(task, len(batch))
    return Tokens(ids, truncated)


def _fingerprint(data: DataConfig, ids: list[str], texts: list[str], encoder: Path, how: str) -> str:
    content = xxhash.xxh3_128()
    for identity, text in zip(ids, texts, strict=True):
        content.update(f"{identity}\0{text}\0".encode("utf-8", "surrogatepass"))
    settings = [MAX_TOKENS, TOKENS_PER_ROW, SHARD_ROWS, data.embed_batch_size, how]
    return sha256_of_json([content.hexdigest(), sha256_of_model_folder(encoder), settings])


@dataclass(frozen=True)
class Shards:
    """Which texts belong to which shard, and where finished shards lie."""

    folder: Path
    members: list[np.ndarray]

    @classmethod
    def of(cls, scratch: Path, fingerprint: str, tokens: Tokens) -> Shards:
        order = np.argsort(tokens.lengths(), kind="stable")
        members = [order[start : start + SHARD_ROWS] for start in range(0, len(order), SHARD_ROWS)]
        return cls(scratch / f"embed-{fingerprint[:16]}", members)

    def load(self, number: int) -> np.ndarray | None:
        """The shard, or None where it is missing or damaged (then it is removed)."""
        for path in self.folder.glob(f"{number:05d}-*.npy"):
            if path.stem.partition("-")[2] == _checksum(path):
                return np.load(path, allow_pickle=False)
            console.print(f"{path.name}: damaged; embedding its rows again")
            path.unlink()
        return None

    def save(self, number: int, vectors: np.ndarray) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f".{number:05d}.npy"
        np.save(temporary, vectors)
        temporary.replace(self.folder / f"{number:05d}-{_checksum(temporary)}.npy")

    def assemble(self, rows: int) -> np.ndarray:
        """All shards' vectors, (N, D) float32, in the order of the texts."""
        parts = [self.load(number) for number in range(len(self.members))]
        if any(part is None for part in parts):
            raise InputError(f"{self.folder}: a shard went missing while assembling; run the stage again")
        vectors = np.empty((rows, parts[0].shape[1]), dtype=np.float32)  # pyright: ignore[reportOptionalMemberAccess]
        for member, part in zip(self.members, parts, strict=True):
            vectors[member] = part
        return vectors

    def remove(self) -> None:
        for path in self.folder.glob("*.npy"):
            path.unlink()
        self.folder.rmdir()


def _checksum(path: Path) -> str:
    return xxhash.xxh3_64_hexdigest(path.read_bytes())


def _embed_shards(encoder: SentenceEncoder, tokens: Tokens, shards: Shards, batch_size: int, state: Any) -> int:
    """Embed this process's unfinished shards; returns the number of texts embedded."""
    import torch

    mine = range(state.process_index, len(shards.members), state.num_processes)
    lengths = tokens.lengths()
    done = 0
    with progress_bar(state.is_main_process) as progress:
        task = progress.add_task("embedding", total=sum(len(shards.members[number]) for number in mine), note="")
        for number in mine:
            member = shards.members[number]
            if shards.load(number) is not None:
                progress.advance(task, len(member))
                continue
            parts = []
            for batch in batches(lengths[member], batch_size):
                rows = member[batch]
                parts.append(encoder.encode([tokens.ids[row] for row in rows], torch.float32))
                progress.advance(task, len(rows))
            shards.save(number, np.concatenate(parts))
            done += len(member)
    return done


def batches(lengths: np.ndarray, batch_size: int) -> Iterator[slice]:
    """Slices of ascending `lengths`: `batch_size` x TOKENS_PER_ROW tokens at most, padding included, or one row."""
    budget, start = batch_size * TOKENS_PER_ROW, 0
    for end in range(1, len(lengths) + 1):
        if end == len(lengths) or (end + 1 - start) * lengths[end] > budget:
            yield slice(start, end)
            start = end


def _facts(data: DataConfig, tokens: Tokens, encoder: SentenceEncoder, vectors: np.ndarray) -> dict[str, Any]:
    lengths = tokens.lengths()
    return {
        "rows": len(vectors),
        "dimension": vectors.shape[1],
        "text": data.embed_text,
        "pooling": encoder.how,
        "limit": encoder.limit,
        "truncated": tokens.truncated,
        "tokens": int(lengths.sum()),
        "tokens_median": float(np.median(lengths)),
        "tokens_max": int(lengths.max()),
    }
