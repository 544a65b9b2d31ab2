"""The stop by validation that an optimizer of all data brings along."""

from __future__ import annotations

from lamina.callbacks.monitors import EarlyStopping
from lamina.optim.full_batch import FullBatch


class StopByValidation(EarlyStopping):
    """EarlyStopping that tells the optimizer."""

    def __init__(self, patience: int):
        super().__init__("val_loss", patience=patience)

    def on_fit_end(self) -> None:
        optimizer = self.net.optimizer
        if self.stopped_epoch is not None and isinstance(optimizer, FullBatch) and optimizer.stop_reason is None:
            optimizer.stop_reason = "validation"
        super().on_fit_end()
