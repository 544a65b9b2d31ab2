"""What optimizers share that see all data at once: an epoch is one of their steps, and they say themselves when to stop."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from lamina.base import checks
from lamina.graph.flat import FlatNetwork
from lamina.graph.parameter import Parameter
from lamina.graph.tensor import Tensor
from lamina.optim.base import Optimizer

Array = np.ndarray[Any, Any]
Options = TypeVar("Options", bound="FullBatch")


class FullBatch(Optimizer, ABC):
    """Base of optimizers whose epoch is one step on all data. `fit` drives them; its batch_size and shuffle mean nothing to them.

    They compute in float64 whatever the network's type, on the network as `evaluate` sees it (no dropout, running statistics).
    Where weights grow large, a float32 network, which rounds them, may have a higher loss than the logged one.
    A step whose end has no loss, as a matrix has no inverse there, is too long.
    They hold options and state; the network and the data are a `Descent`'s, which ends with the fit. Where other weights are
    trained than before, as a layer was frozen, the state starts anew.
    `stop_reason` tells after a fit why it ended; "validation": EarlyStopping on a figure of the validation data, its own or yours.
    It is None before the first fit, and where the epochs ran out or something else ended it: another callback, Ctrl-C, an error.
    """

    _unlisted = ("begin", "kept_by_state", "needs_residuals")

    stop_reason: str | None = None
    all_data = True
    against_overflow = "scale inputs and targets to about one"
    needs_residuals = False  # whether it takes the errors (Squares) instead of the loss as a function of the weights
    kept_by_state: tuple[str, ...] = ()  # options that say what the state holds

    goal: float | None
    _trained: Sequence[int] = ()  # the weights that the state is of, by the number of their node

    def _limits(self, max_seconds: float | None, max_fail: int) -> None:
        super().__init__(1.0)
        self.max_fail = checks.integer(self._where, "max_fail", max_fail, 0)
        self.max_seconds = checks.optional_number(self._where, "max_seconds", max_seconds, 0, open_low=True)

    @property
    def lr(self) -> float:
        """1: there is no learning rate, and none to set. A step is as long as its search finds."""
        return 1.0

    @lr.setter
    def lr(self, lr: Any) -> None:
        raise ValueError(
            f"[{self._where}] expected no learning rate, got lr = {checks.brief(lr)}; each step finds its own length, leave it out "
            "(or train with Adam)"
        )

    def _take_option(self, name: str, value: Any) -> None:
        """As if the optimizer had been made with it; it counts from the next step on."""
        if not self._built_in:
            return super()._take_option(name, value)
        fresh, begun = type(self)(**{**self._current_arguments(), name: value}), "theta" in self.state
        if begun and name in self.kept_by_state:
            raise ValueError(
                f"[{self._where}] expected {name} to stay {getattr(self, name)!r} once it has begun, as its state is made for it, "
                f"got {checks.brief(value)}; make a new optimizer"
            )
        taken = (name, "_arguments") if begun else vars(fresh).keys() - {"state", "_owner"}  # a default may hang on it
        self.__dict__.update({key: getattr(fresh, key) for key in taken})

    def _vector(self, name: str, value: Any) -> Parameter:
        """A vector or a number of the state, created at its first use; in float64 unless it comes in float32."""
        value = np.asarray(value)
        if name not in self.state:
            dtype = "float32" if value.dtype == np.float32 else "float64"
            self.state[name] = Parameter(value, name=name, trainable=False, dtype=dtype)
        return self.state[name]

    def bind(self, params: Sequence[Parameter]) -> None:
        self._belong_to(params)
        trained = [p.node.serial for p in params]
        if self._trained != trained:  # another model, or weights are frozen that were not: the count of steps alone goes on
            for name in self.state.keys() - {"lr", "clock"}:
                del self.state[name]
        self._trained = trained
        super().bind([])
        self._vector("theta", np.zeros(sum(int(np.prod(p.shape)) for p in params)))

    def effects(self, params: Sequence[Parameter], grads: Sequence[Tensor]) -> list[Tensor]:
        raise TypeError(
            f"[{self._where}] expected all data at once, got a batch, which train_step and an iterable of batches give; call "
            "net.fit(x, y, epochs=1) with arrays: an epoch is one step, or train with Adam"
        )

    @abstractmethod
    def begin(self, network: FlatNetwork, problem: Any) -> Descent[Any]:
        """The steps of one fit; `problem`: Squares where it `needs_residuals`, else weights -> (loss, gradient)."""


class Descent(ABC, Generic[Options]):
    """The steps of one fit, with all that only it needs: the network as it computes it, the data, and what it knows of them."""

    def __init__(self, optimizer: Options, network: FlatNetwork):
        self.optimizer, self.network = optimizer, network
        self._begun = time.perf_counter()
        optimizer.stop_reason = None

    def is_of(self, params: Sequence[Parameter]) -> bool:
        """Whether these are the weights that it moves."""
        return [p.node.serial for p in params] == [p.node.serial for p in self.network.parameters]

    @abstractmethod
    def advance(self) -> float:
        """One step: the loss after it. The network has the new weights; the optimizer's `stop_reason` is set if it was the last."""

    def _take_over(self, theta: Any, **state: Any) -> None:
        """Ends a step: new weights, new state by name, and the count of steps; all at once, so that Ctrl-C cannot part them."""
        self.network.commit(theta, {self.optimizer.state[name]: value for name, value in state.items()})

    def _reached(self, loss: float) -> bool:
        return self.optimizer.goal is not None and loss <= self.optimizer.goal

    def _late(self) -> bool:
        return self.optimizer.max_seconds is not None and time.perf_counter() - self._begun >= self.optimizer.max_seconds
