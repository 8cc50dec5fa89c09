"""Keys and values of a whole sequence, kept between forward passes of the sampler.

Masked diffusion has no left-to-right order: a cached key is an approximation as soon as any token changes. The
sampler decides which slice of the sequence to recompute; the cache keeps the rest. Keys are stored after RoPE, so a
slice may be rewritten at any time and in any order.
"""

from __future__ import annotations

import torch
from torch import Tensor


class KeyValueCache:
    """One key and one value tensor per layer, (B, H_kv, L, D_head), for all L positions of the sequence.

    The first forward pass must cover the whole sequence, [0, L), and allocates; any later one may rewrite a slice
    [s, e). Every pass attends over all L positions. For inference: what is stored is detached from the graph.

    Args:
        length: L, prompt and answer together, padding included.
    """

    def __init__(self, length: int) -> None:
        if length < 1:
            raise ValueError(f"length: {length}; must be at least 1")
        self.length = length
        self.keys: dict[int, Tensor] = {}
        self.values: dict[int, Tensor] = {}

    def update(self, layer: int, keys: Tensor, values: Tensor, start: int) -> tuple[Tensor, Tensor]:
        """Write a slice (B, H_kv, S, D_head) at [start, start + S); return the keys and values of all L.

        Raises:
            ValueError: the slice leaves the sequence, or comes before the pass that fills the cache.
        """
        end = start + keys.shape[2]
        if start < 0 or end > self.length:
            raise ValueError(f"cache_start: slice [{start}, {end}) leaves the cached sequence of length {self.length}")
        if layer not in self.keys:
            if (start, end) != (0, self.length):
                raise ValueError(
                    f"the cache is empty: the first pass must cover [0, {self.length}), not [{start}, {end})"
                )
            self.keys[layer] = keys.detach().clone(memory_format=torch.contiguous_format)
            self.values[layer] = values.detach().clone(memory_format=torch.contiguous_format)
        else:
            self.keys[layer][:, :, start:end] = keys.detach()
            self.values[layer][:, :, start:end] = values.detach()
        return self.keys[layer], self.values[layer]

    def selected(self, rows: Tensor) -> KeyValueCache:
        """A copy with these rows (int64 indices), in this order, repetitions included."""
        copy = KeyValueCache(self.length)
        copy.keys = {layer: keys.index_select(0, rows) for layer, keys in self.keys.items()}
        copy.values = {layer: values.index_select(0, rows) for layer, values in self.values.items()}
        return copy

    def select_rows(self, rows: Tensor) -> None:
        """Keep these rows of the batch (int64 indices), in this order: finished rows leave the cache."""
        for layer in self.keys:
            self.keys[layer] = self.keys[layer].index_select(0, rows)
            self.values[layer] = self.values[layer].index_select(0, rows)
