"""What can be done between batches and epochs of `fit`: stop early, save, change the learning rate, log, or anything of one's own.

A callback is an object with methods that `fit` calls. Epochs and batches count from 0; what people read counts epochs from 1.
"""

from typing import TYPE_CHECKING

from lamina.base import names as _names
from lamina.callbacks.base import Callback, CallbackList, LambdaCallback
from lamina.callbacks.csv_logger import CSVLogger
from lamina.callbacks.monitors import Checkpoint, EarlyStopping, ReduceLROnPlateau

__all__ = ["CSVLogger", "Callback", "CallbackList", "Checkpoint", "EarlyStopping", "LambdaCallback", "ReduceLROnPlateau"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = _names.attributes(__name__, __all__)
