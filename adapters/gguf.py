"""How large a merged model becomes as GGUF: python -m adapters.gguf prints the table of docs/deployment.md.

llama.cpp's simple types store 32 weights of a row as one block: a 16-bit scale (`_0`), for `_1` also a 16-bit
minimum, and the weights themselves. So Q8_0 takes 34 bytes per block (8.5 bits per weight), Q5_1 24 (6), Q4_0 18
(4.5). Norms stay in float32. Counted is every matrix in the named type.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llada.configuration import LLaDAConfig

BLOCK = 32  # weights
BLOCK_BYTES = {"BF16": 64, "Q8_0": 34, "Q5_1": 24, "Q4_0": 18}


def gguf_bytes(shape: LLaDAConfig, kind: str) -> int:
    """Bytes of all tensors; header and vocabulary, a few megabytes, are not counted.

    Args:
        kind: a key of `BLOCK_BYTES`.

    Raises:
        ValueError: a row of some matrix does not divide into blocks.
    """
    from llada.checkpoint import published_shapes

    total = 0
    for name, size in published_shapes(shape).items():
        if len(size) == 1:
            total += 4 * size[0]
        elif size[1] % BLOCK:
            raise ValueError(f"{name}: rows of {size[1]} weights do not divide into blocks of {BLOCK}")
        else:
            total += math.prod(size) // BLOCK * BLOCK_BYTES[kind]
    return total


def size_table(shape: LLaDAConfig, positions: int = 512) -> str:
    """Markdown: bits per weight, file size, and memory with the float32 logits of `positions` tokens."""
    logits = 4 * positions * shape.embedding_size
    lines = [
        f"| type | bits per weight | file, GB | memory with the logits of {positions} tokens, GB |",
        "|---|---|---|---|",
    ]
    for kind, size in BLOCK_BYTES.items():
        weights = gguf_bytes(shape, kind)
        lines.append(f"| {kind} | {8 * size / BLOCK:g} | {weights / 1e9:.2f} | {(weights + logits) / 1e9:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    from llada.configuration import LLaDAConfig

    print(size_table(LLaDAConfig()))
