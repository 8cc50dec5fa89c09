"""The factor on the loss that keeps a float16 gradient between underflow and overflow (Micikevicius et al., "Mixed
Precision Training", 2018, arXiv 1710.03740, section 3.2), found while training.

It is a power of two, so that it rounds nothing. A step whose gradient overflows is taken again with half the factor,
not left out: what a step trains on stays a function of (seed, step). After `INTERVAL` steps without an overflow the
factor doubles.
"""

from __future__ import annotations

from dataclasses import dataclass

START = 2.0**16
LARGEST = 2.0**24
SMALLEST = 1.0
INTERVAL = 1000


@dataclass
class LossScale:
    """Part of the training state. `value` is 1 wherever the base is not float16."""

    value: float = 1.0
    steps: int = 0
    """without an overflow, at this value"""
    repeated: int = 0
    """passes that overflowed, over the whole run"""

    def lower(self) -> bool:
        """Halve the factor after an overflow; whether there was anything to halve."""
        if self.value <= SMALLEST:
            return False
        self.value, self.steps = max(SMALLEST, self.value / 2), 0
        self.repeated += 1
        return True

    def step_taken(self) -> None:
        """Count a step whose gradient was finite. A factor of 1 belongs to another type than float16, or is a float16
        gradient's last resort; it stays.
        """
        if self.value == SMALLEST:
            return
        self.steps += 1
        if self.steps == INTERVAL and self.value < LARGEST:
            self.value, self.steps = 2 * self.value, 0
