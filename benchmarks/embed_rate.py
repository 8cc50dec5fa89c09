"""Embeddings per second: the stage's way against a plain loop that pads to 512, on the same rows, and the FLOP ceiling.

    python benchmarks/embed_rate.py CANDIDATES.parquet ENCODER_FOLDER [--rows 2048] [--output JSON]
    python benchmarks/embed_rate.py CANDIDATES.parquet ENCODER_FOLDER --bert-base --rows 64

CANDIDATES and ENCODER are what the stages `select` and `inputs` leave. `--bert-base` puts a network of IndoBERT-base's
shape (12 layers, 768 wide) with random weights behind that encoder's tokenizer: rates do not depend on weights. Both
ways are timed from text to vectors, tokenising included, after a warm-up, and must give the same vectors.

The ceiling is the best rate of a square matrix product measured in the same run, in the same precision. Useful FLOPs
are those of the rows' own tokens: 2 per weight of the layers' linear maps and 4 x length x width for attention, per
token and layer; what padding costs is not useful.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from common.files import write_json
from common.text.sentence_encoder import MAX_TOKENS, SentenceEncoder, load_encoder
from data_prep.embed.embedding import batches, tokenize

BATCH = 64


def ours(encoder: SentenceEncoder, texts: list[str]) -> np.ndarray:
    """As the stage embeds: sorted by length, in batches of about equal numbers of tokens. (N, D)."""
    tokens = tokenize(encoder, texts)
    lengths = tokens.lengths()
    order = np.argsort(lengths, kind="stable")
    parts = [
        encoder.encode([tokens.ids[row] for row in order[batch]], torch.float32)
        for batch in batches(lengths[order], BATCH)
    ]
    vectors = np.concatenate(parts)
    result = np.empty_like(vectors)
    result[order] = vectors
    return result


def naive(encoder: SentenceEncoder, texts: list[str]) -> np.ndarray:
    """A plain loop: 64 texts at a time in the given order, each padded to 512 tokens. (N, D)."""
    parts = []
    for start in range(0, len(texts), BATCH):
        options = {"padding": "max_length", "truncation": True, "max_length": MAX_TOKENS, "return_tensors": "pt"}
        batch = encoder.tokenizer(texts[start : start + BATCH], **options).to(encoder.network.device)
        ids, mask = batch["input_ids"], batch["attention_mask"]
        with torch.inference_mode():
            hidden = encoder.network(input_ids=ids, attention_mask=mask).last_hidden_state.float()  # (B, L, D)
            pooled = (hidden * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
        parts.append(torch.nn.functional.normalize(pooled, dim=1).cpu().numpy())
    return np.concatenate(parts)


def timed(work: Callable[[], Any], repeats: int, device: str) -> tuple[float, Any]:
    """The best of `repeats` runs in seconds, and the last result."""
    best, result = float("inf"), None
    for _ in range(repeats):
        started = time.perf_counter()
        result = work()
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    return best, result


def useful_flops(encoder: SentenceEncoder, lengths: np.ndarray) -> float:
    """FLOPs of the encoder's layers on the rows' own tokens."""
    [layers] = [module for name, module in encoder.network.named_modules() if name.endswith("encoder.layer")]
    linear = [module for module in layers.modules() if isinstance(module, torch.nn.Linear)]
    weights, width = sum(module.weight.numel() for module in linear), linear[0].in_features
    attention = 4 * len(list(layers.children())) * width * float((lengths.astype(np.float64) ** 2).sum())
    return 2 * weights * float(lengths.sum()) + attention


def matmul_peak(device: str, dtype: torch.dtype) -> float:
    """The best FLOP/s of a square matrix product over a few sizes."""
    best = 0.0
    for size in (1024, 2048, 4096) if device == "cpu" else (4096, 8192, 16384):
        one = torch.randn(size, size, device=device, dtype=dtype)
        seconds, _ = timed(lambda one=one: one @ one, 5, device)
        best = max(best, 2 * size**3 / seconds)
    return best


def bert_base(encoder: Path, folder: Path) -> Path:
    """A BERT of IndoBERT-base's shape with random weights and the encoder's tokenizer."""
    from transformers import AutoTokenizer, BertConfig, BertModel

    tokenizer = AutoTokenizer.from_pretrained(encoder)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    BertModel(BertConfig(vocab_size=len(tokenizer))).save_pretrained(folder)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("candidates", type=Path)
    parser.add_argument("encoder", type=Path)
    parser.add_argument("--rows", type=int, default=2048)
    parser.add_argument("--column", choices=("input", "output"), default="input")
    parser.add_argument("--bert-base", action="store_true")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    table = pq.read_table(arguments.candidates, columns=[arguments.column])
    chosen = np.random.default_rng(42).choice(table.num_rows, arguments.rows, replace=False)
    texts = table.take(pa.array(chosen))[arguments.column].to_pylist()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with tempfile.TemporaryDirectory() as name:
        folder = bert_base(arguments.encoder, Path(name)) if arguments.bert_base else arguments.encoder
        encoder = load_encoder(folder, device, torch.bfloat16 if device == "cuda" else torch.float32)
    measured = measure(encoder, texts, arguments.repeats, device)
    shape = "BERT-base, random weights" if arguments.bert_base else "the given encoder"
    report = {"encoder": shape, "column": arguments.column, "torch": version("torch"), **measured}
    print("\n".join(f"{key}: {value}" for key, value in report.items()))
    if arguments.output:
        write_json(arguments.output, report)


def measure(encoder: SentenceEncoder, texts: list[str], repeats: int, device: str) -> dict[str, Any]:
    """Rates of both ways, their ratio and largest difference, and the share of the ceiling."""
    lengths = tokenize(encoder, texts).lengths()
    for way in (ours, naive):
        way(encoder, texts[:8])
    mine, vectors = timed(lambda: ours(encoder, texts), repeats, device)
    plain, expected = timed(lambda: naive(encoder, texts), 1, device)
    peak = matmul_peak(device, encoder.network.dtype)
    flops = useful_flops(encoder, lengths)
    return {
        "device": device,
        "threads": torch.get_num_threads(),
        "dtype": str(encoder.network.dtype),
        "rows": len(texts),
        "tokens": int(lengths.sum()),
        "tokens_median": float(np.median(lengths)),
        "embeddings_per_second": round(len(texts) / mine, 1),
        "naive_embeddings_per_second": round(len(texts) / plain, 1),
        "ratio": round(plain / mine, 2),
        "largest_difference": float(np.abs(vectors - expected).max()),
        "matmul_peak_gflops": round(peak / 1e9, 1),
        "share_of_ceiling": round(flops / mine / peak, 3),
        "naive_share_of_ceiling": round(flops / plain / peak, 4),
    }


if __name__ == "__main__":
    main()
