"""What optimizers share that see all data at once: an epoch is one of their steps, and they say themselves when to stop."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from lamina import checks
from lamina.flat import FlatNetwork
from lamina.optim.base import Optimizer
from lamina.tensor import Parameter, Tensor

Array = np.ndarray[Any, Any]


class FullBatch(Optimizer, ABC):
    """Base of optimizers whose epoch is one step on all data. `fit` drives them; its batch_size and shuffle mean nothing to them.

    They compute in float64 whatever the network's type, on the network as `evaluate` sees it (no dropout, running statistics).
    `stop_reason` tells after a fit why it ended: None where the epochs ran out.
    """

    stop_reason: str | None = None
    all_data = True
    needs_residuals = False  # whether it takes the errors (LeastSquares) instead of the loss

    def _limits(self, goal: float, max_seconds: float | None) -> None:
        super().__init__(1.0)
        self.goal = self._number("goal", goal, 0)
        self.max_seconds = checks.optional_number(self._where, "max_seconds", max_seconds, 0, open_low=True)

    def _vector(self, name: str, value: Any) -> Parameter:
        """A vector or a number of the state, created at its first use; in float64 unless it comes in float32."""
        value = np.asarray(value)
        if name not in self.state:
            dtype = "float32" if value.dtype == np.float32 else "float64"
            self.state[name] = Parameter(value, name=name, trainable=False, dtype=dtype)
        elif tuple(self.state[name].shape) != value.shape:
            raise ValueError(
                f"[{self._where}] expected a network with {self.state[name].shape[0]} weights, got {value.shape[0]}; the optimizer "
                "belongs to another model: make a new one"
            )
        return self.state[name]

    def bind(self, params: Sequence[Parameter]) -> None:
        self._belong_to(params)
        super().bind([])
        self._vector("theta", np.zeros(sum(int(np.prod(p.shape)) for p in params)))

    def effects(self, params: Sequence[Parameter], grads: Sequence[Tensor]) -> list[Tensor]:
        raise TypeError(f"[{self._where}] expected all data at once, got a batch; call net.fit(x, y, epochs=...)")

    def start(self, network: FlatNetwork, problem: Any) -> None:
        """Takes a network and its data; steps follow."""
        self.stop_reason = None
        self._network, self._problem = network, problem
        self._begun = time.perf_counter()

    @abstractmethod
    def advance(self) -> float:
        """One step: the loss after it. The network has the new weights."""

    def _take_over(self, theta: Any, **state: Any) -> None:
        """Ends a step: new weights, new state by name, and the count of steps; all at once, so that Ctrl-C cannot part them."""
        self._network.commit(theta, {self.state[name]: value for name, value in state.items()})

    def _late(self) -> bool:
        return self.max_seconds is not None and time.perf_counter() - self._begun >= self.max_seconds
