"""How much memory does merging an 8 B model take, with the check and without? On LLaDA-8B's shape, weights all zero.

    python benchmarks/memory/merge.py [--folder DIR] [--layers 32] [--output benchmarks/results/merge_memory.json]

The base is sparse: safetensors headers with the published names and shapes in bfloat16, and files cut to length, so
that it takes no room on the disk. The merged folder does: 15 GiB, deleted at the end. The adapter is LoRA of rank 16
on every projection. Merge, and merge with check, run in processes of their own; reported is the most that a process
ever held (VmHWM). The check runs on 8 rows of 32 tokens, fewer than a real row has, to save time. More tokens take
little more memory: the hidden states and one part of the logits, 0.1 MB per token.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from peft import LoraConfig
from safetensors.torch import save_file

from adapters.base import PROJECTIONS, target_pattern
from adapters.config import ModelConfig
from common.files import write_json
from llada import LLaDAConfig
from llada.network.checkpoint import published_shapes
from release.merge import merge
from training.run.adapter_folder import peak_memory

ROOT = Path(__file__).resolve().parents[2]
RANK, SHARD_BYTES = 16, 5 * 10**9
ROWS, TOKENS = 8, 32
Shapes = dict[str, tuple[int, ...]]


def write_sparse_base(folder: Path, config: LLaDAConfig) -> None:
    """Shards of at most 5 GB, as published, all zero and not stored."""
    config.save_pretrained(folder)
    shards: list[Shapes] = [{}]
    for name, shape in published_shapes(config).items():
        if sum(map(math.prod, shards[-1].values())) * 2 + math.prod(shape) * 2 > SHARD_BYTES:
            shards.append({})
        shards[-1][name] = shape
    placed = {}
    for number, shapes in enumerate(shards, start=1):
        file = f"model-{number:05}-of-{len(shards):05}.safetensors"
        write_sparse_shard(folder / file, shapes)
        placed |= dict.fromkeys(shapes, file)
    write_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": placed})


def write_sparse_shard(path: Path, shapes: Shapes) -> None:
    header, end = {}, 0
    for name, shape in shapes.items():
        start, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        stream.truncate(8 + len(text) + end)


def write_adapter(folder: Path, config: LLaDAConfig) -> None:
    folder.mkdir()
    tensors = {}
    for name, shape in published_shapes(config).items():
        if ".blocks." in name and name.split(".")[-2] in PROJECTIONS:
            key = f"base_model.model.{name.removesuffix('.weight')}"
            tensors[f"{key}.lora_A.weight"] = torch.full((RANK, shape[1]), 0.01)
            tensors[f"{key}.lora_B.weight"] = torch.full((shape[0], RANK), 0.01)
    save_file(tensors, folder / "adapter_model.safetensors")
    LoraConfig(r=RANK, lora_alpha=RANK, target_modules=target_pattern(PROJECTIONS)).save_pretrained(str(folder))


def child(folder: Path, checked: bool) -> None:
    """Merge and print seconds and peak as JSON."""
    began = time.perf_counter()
    rows = [list(range(row, row + TOKENS)) for row in range(ROWS)] if checked else []
    model = ModelConfig.model_validate({})
    merge(model=model, base=folder / "base", adapter=folder / "adapter", output=folder / "merged", rows=rows)
    print(json.dumps({"seconds": time.perf_counter() - began, "peak_gib": peak_memory()["host_gib"]}))


def measure(folder: Path, checked: bool) -> dict[str, float]:
    """Seconds and GiB of a merge in a process of its own; the merged folder stays."""
    shutil.rmtree(folder / "merged", ignore_errors=True)
    command = [sys.executable, __file__, "--child", str(folder), *(["--checked"] if checked else [])]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    measured = json.loads(run.stdout.splitlines()[-1])
    return {"seconds": round(measured["seconds"], 1), "peak_gib": round(measured["peak_gib"], 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where there is room; default: the system's temporary folder")
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "merge_memory.json")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--checked", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        child(options.child, options.checked)
        return
    folder = Path(tempfile.mkdtemp(dir=options.folder))
    try:
        config = LLaDAConfig(n_layers=options.layers)
        write_sparse_base(folder / "base", config)
        write_adapter(folder / "adapter", config)
        unchecked, checked = measure(folder, checked=False), measure(folder, checked=True)
        merged = sum(path.stat().st_size for path in (folder / "merged").glob("*.safetensors"))
        shards = len(list((folder / "merged").glob("*.safetensors")))
    finally:
        shutil.rmtree(folder)
    result = {
        "layers": options.layers,
        "parameters": sum(map(math.prod, published_shapes(config).values())),
        "dtype": "bfloat16",
        "rank": RANK,
        "merged_bytes": merged,
        "shards": shards,
        "threads": torch.get_num_threads(),
        "rows_compared": ROWS,
        "tokens_per_row": TOKENS,
        "without_check": unchecked,
        "with_check": checked,
    }
    write_json(options.output, result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
