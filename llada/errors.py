"""The exception of this package: a checkpoint folder that cannot be used."""

from __future__ import annotations


class CheckpointError(ValueError):
    """A checkpoint is damaged, incomplete or not for this network. The text names the file, the fault and the cure."""
