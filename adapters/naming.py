"""The name of an adapter: its method, and the seed of its training where that is not the profile's own.

`lora` is the method trained with the profile's seed, `lora-seed2` the same on the same splits with seed 2. The name is
the only key: folder of the adapter and of its evaluation, `--method` of every command. `ar-lora` is the same method on
the profile's autoregressive twin, and `ar-base` that twin itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from common.section import LARGEST_SEED

_SEEDED = re.compile(r"(?P<method>.+)-seed(?P<seed>0|[1-9][0-9]{0,9})")


@dataclass(frozen=True)
class AdapterName:
    """`str()` gives the name. seed: of the training; None is the profile's own."""

    method: str
    seed: int | None = None

    @classmethod
    def parse(cls, name: str) -> AdapterName:
        """The parts of a name. Whether there is such a method is not checked."""
        parts = _SEEDED.fullmatch(name)
        if parts is None or int(parts["seed"]) > LARGEST_SEED:
            return cls(name)
        return cls(parts["method"], int(parts["seed"]))

    def __str__(self) -> str:
        return self.method if self.seed is None else f"{self.method}-seed{self.seed}"
