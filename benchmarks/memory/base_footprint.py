"""What the bundled base costs: parameters, files, memory and operations of one forward pass.

    python benchmarks/memory/base_footprint.py --output benchmarks/results/base_footprint.json

Operations are PyTorch's own count (2 per multiply-add) for one row of --tokens tokens, in products with weights; those
of attention stand beside it, by formula, and what is left without the head. Memory at inference is what the process
holds more after loading and running than with PyTorch imported alone.
The int8 file holds block matrices as int8 with one float16 scale per row, everything else in float16.
Memory of training is in the adapter's run.json (`peak_memory`). Prints its settings, and writes JSON with --output.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from common.memory import resident_bytes
from data_prep.bundled.models.base import SHIPPED
from llada import LLaDAModelLM

MIB = 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, default=SHIPPED)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--output", type=Path, default=None)
    options = parser.parse_args()
    torch.set_num_threads(1)
    facts = {
        "settings": {"base": options.base.name, "tokens": options.tokens, "torch": torch.__version__},
        **forward_pass(options.base, options.tokens),
        "file_mib": round((options.base / "model.safetensors").stat().st_size / MIB, 2),
        "int8_file_mib": round(int8_bytes(options.base / "model.safetensors") / MIB, 2),
    }
    text = json.dumps(facts, indent=2)
    print(text)
    if options.output is not None:
        options.output.write_text(text + "\n")


def forward_pass(base: Path, tokens: int) -> dict[str, Any]:
    """Memory first, because counting operations loads more of PyTorch."""
    torch.ones(1, 4, dtype=torch.float32) @ torch.ones(4, 4)
    before = resident_bytes() or 0
    model = LLaDAModelLM.from_pretrained(base, dtype=torch.float32).eval()
    ids = torch.randint(6, model.config.vocab_size, (1, tokens), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        model(ids)
        held = (resident_bytes() or 0) - before
        with FlopCounterMode(display=False) as counter:
            model(ids)
    head = 2 * tokens * model.config.d_model * model.config.vocab_size
    # scores and weighted sums, which the counter leaves out on a CPU
    attention = 4 * tokens**2 * model.config.d_model * model.config.n_layers
    return {
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "inference_mib": round(held / MIB, 1),
        "gflop": round(counter.get_total_flops() / 1e9, 3),
        "gflop_attention": round(attention / 1e9, 3),
        "gflop_without_head": round((counter.get_total_flops() - head) / 1e9, 3),
    }


def int8_bytes(weights: Path) -> int:
    """Size of the weights with the blocks' matrices in int8, absolute maximum per row (Dettmers et al., 2022)."""
    packed: dict[str, Tensor] = {}
    for name, weight in load_file(weights).items():
        if ".blocks." in name and weight.dim() == 2:
            scale = weight.float().abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / 127
            packed[name] = (weight.float() / scale).round().to(torch.int8)
            packed[f"{name}.scale"] = scale.half()
        else:
            packed[name] = weight.half()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.safetensors"
        save_file(packed, path)
        return path.stat().st_size


if __name__ == "__main__":
    main()
