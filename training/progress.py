"""How far a training has come: its curve, its validations, and which adapter is the best so far."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np

from training.loss_scale import LossScale
from training.validation import Validation


@dataclass(frozen=True)
class CurveRow:
    """One row of curve.csv; None where nothing was measured at this step."""

    step: int
    epoch: float
    tokens: int
    train_loss: float | None  # mean over the steps since the row before
    learning_rate: float
    gradient_norm: float | None  # before clipping, mean over the same steps
    validation_loss: float | None
    validation_low: float | None
    validation_high: float | None


CURVE_COLUMNS = tuple(column.name for column in fields(CurveRow))


@dataclass
class Progress:
    """The part of the training state that is neither adapter nor optimizer; JSON in a checkpoint."""

    tokens: int = 0  # positions that were not padding, over all processes
    seconds: float = 0.0  # of training steps, validation not counted
    without_better: int = 0  # validations since the best one
    first_validation: dict[str, Any] | None = None
    last_validation: dict[str, Any] | None = None
    best_validation: dict[str, Any] | None = None
    level_squares: list[float | None] = field(default_factory=list)  # of the last validation, see `Validation.squares`
    curve: list[CurveRow] = field(default_factory=list)
    loss_scale: LossScale = field(default_factory=LossScale)
    pending_losses: list[float] = field(default_factory=list)  # of the steps since the last row of the curve
    pending_norms: list[float] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Progress:
        progress = cls(**content)
        progress.curve = [CurveRow(**row) for row in content["curve"]]
        progress.loss_scale = LossScale(**content["loss_scale"])
        return progress

    def add_step(self, loss: float, norm: float, tokens: int, seconds: float) -> None:
        self.pending_losses.append(loss)
        self.pending_norms.append(norm)
        self.tokens += tokens
        self.seconds += seconds

    def add_validation(self, validation: Validation, step: int) -> bool:
        """Note a validation; whether it is the best so far."""
        facts = validation.facts() | {"step": step}
        self.last_validation = facts
        self.level_squares = list(validation.squares)
        if step == 0:
            self.first_validation = facts
        if self.best_validation is None or validation.loss < self.best_validation["loss"]:
            self.best_validation, self.without_better = facts, 0
            return True
        self.without_better += 1
        return False

    def add_row(self, step: int, epoch: float, learning_rate: float, validation: Validation | None) -> CurveRow:
        """Close the steps since the last row of the curve with a new one."""
        row = CurveRow(
            step=step,
            epoch=epoch,
            tokens=self.tokens,
            train_loss=float(np.mean(self.pending_losses)) if self.pending_losses else None,
            learning_rate=learning_rate,
            gradient_norm=float(np.mean(self.pending_norms)) if self.pending_norms else None,
            validation_loss=validation.loss if validation else None,
            validation_low=validation.low if validation else None,
            validation_high=validation.high if validation else None,
        )
        self.pending_losses, self.pending_norms = [], []
        self.curve.append(row)
        return row

    @property
    def final_train_loss(self) -> float | None:
        return next((row.train_loss for row in reversed(self.curve) if row.train_loss), None)
