"""CPU time of a training step with peft's own LoRA forward pass and with the merged one, side by side.

    python benchmarks/training/lora_forward.py [--steps 8]

The model has the shape of the embedded base; one thread, so that CPU time means the same on a busy machine.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from adapters.attach import wrap
from adapters.config import MethodConfig
from adapters.forward import lean_forward_passes
from adapters.methods import METHODS
from llada import LLaDAConfig, LLaDAModelLM
from llada.diffusion.loss import masked_diffusion_loss

B, L, PROMPT, V = 16, 76, 28, 2048


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=8)
    steps = parser.parse_args().steps
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = LLaDAConfig(
        d_model=192, n_heads=6, n_kv_heads=6, n_layers=6, mlp_hidden_size=512, vocab_size=V, embedding_size=V,
        max_sequence_length=512, mask_token_id=V - 1, eos_token_id=V - 2, pad_token_id=V - 2,
    )  # fmt: skip
    base = LLaDAModelLM(config).requires_grad_(False)
    models = [wrap(base, METHODS["lora"], MethodConfig(rank=16), seed=0)]
    input_ids = torch.randint(0, V - 2, (B, L))
    maskable = (torch.arange(L) >= PROMPT).expand(B, L)
    t = torch.linspace(0.03, 0.97, B)
    mask = (torch.rand(B, L) < t[:, None]) & maskable

    def step() -> float:
        began = time.process_time()
        masked_diffusion_loss(models[0], input_ids, maskable, t, mask).backward()
        return time.process_time() - began

    plain = sorted(step() for _ in range(steps + 1))[steps // 2]
    lean_forward_passes(models[0])
    merged = sorted(step() for _ in range(steps + 1))[steps // 2]
    print(
        f"peft {plain * 1e3:.0f} ms, merged {merged * 1e3:.0f} ms of CPU time per step: "
        f"{plain / merged:.2f} times as fast"
    )


if __name__ == "__main__":
    main()
