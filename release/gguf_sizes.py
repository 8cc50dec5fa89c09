"""How large a merged model becomes as GGUF: python -m release.gguf_sizes prints the table of docs/deployment.md.

llama.cpp's simple types store 32 weights of a row as one block: a 16-bit scale (`_0`), for `_1` also a 16-bit
minimum, and the weights themselves. So Q8_0 takes 34 bytes per block (8.5 bits per weight), Q5_1 24 (6), Q4_0 18
(4.5). Norms stay in float32. With Q5_1 and Q4_0 llama-quantize stores the head in Q6_K, 210 bytes per 256 weights
(6.5625 bits), unless it is told `--pure`. A tied head is stored once, as the embedding, and counts as the head.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llada.network.configuration import LLaDAConfig

BLOCKS = {"BF16": (32, 64), "Q8_0": (32, 34), "Q5_1": (32, 24), "Q4_0": (32, 18), "Q6_K": (256, 210)}  # weights, bytes
KINDS = ("BF16", "Q8_0", "Q5_1", "Q4_0")
HEAD_KIND = {"Q5_1": "Q6_K", "Q4_0": "Q6_K"}


def gguf_bytes(shape: LLaDAConfig, kind: str, pure: bool = False) -> int:
    """Bytes of all tensors; header and vocabulary, a few megabytes, are not counted.

    Args:
        kind: one of `KINDS`.
        pure: the head in this type too.

    Raises:
        ValueError: a row of some matrix does not divide into blocks.
    """
    from llada.network.checkpoint import published_shapes

    total = 0
    head = f"{shape.layout.embedding if shape.weight_tying else shape.layout.head}.weight"
    for name, size in published_shapes(shape).items():
        if len(size) == 1:
            total += 4 * size[0]
            continue
        block, stored = BLOCKS[HEAD_KIND.get(kind, kind) if name == head and not pure else kind]
        if size[1] % block:
            raise ValueError(f"{name}: rows of {size[1]} weights do not divide into blocks of {block}")
        total += math.prod(size) // block * stored
    return total


def size_table(shape: LLaDAConfig, positions: int = 512) -> str:
    """Markdown: bits per weight, tensors in the file, and memory with the float32 logits of `positions` tokens."""
    logits = 4 * positions * shape.embedding_size
    lines = [
        f"| type | bits per weight | file, GB | memory with the logits of {positions} tokens, GB |",
        "|---|---|---|---|",
    ]
    for kind in KINDS:
        block, stored = BLOCKS[kind]
        weights = gguf_bytes(shape, kind)
        lines.append(f"| {kind} | {8 * stored / block:g} | {weights / 1e9:.2f} | {(weights + logits) / 1e9:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    from llada.network.configuration import LLaDAConfig

    print(size_table(LLaDAConfig()))
