"""What tests of errors and warnings share: data, two trained networks, and what a message must hold."""

from __future__ import annotations

import numpy as np

import lamina as lm

N, FEATURES, CLASSES = 12, 4, 3
X = np.linspace(-1, 1, N * FEATURES).reshape(N, FEATURES).astype(np.float32)
Y = np.arange(N) % CLASSES
ONES = np.ones(N)


def classifier() -> lm.Sequential:
    net = lm.Sequential(lm.Dense(5, "relu"), lm.Dense(CLASSES), seed=0)
    net.compile("cross_entropy", "sgd")
    net.train_step(X, Y)
    return net


def regressor() -> lm.Sequential:
    net = lm.Sequential(lm.Dense(5, "tanh"), lm.Dense(2), seed=0)
    net.compile("mse", "sgd")
    net.train_step(X, X[:, :2])
    return net


def fit_with(loss, optimizer="sgd", **options) -> None:
    lm.Sequential(lm.Dense(CLASSES), seed=0).fit(X, Y, loss=loss, optimizer=optimizer, verbose=0, **options)


def with_value(array: np.ndarray, value) -> np.ndarray:
    out = array.copy()
    out.reshape(-1)[5] = value
    return out


def check_message(error: BaseException, parts: list[str]) -> None:
    message = str(error)
    assert len(message) > 15, f"too short to help: {message!r}"
    for part in parts:
        assert part.lower() in message.lower(), f"the message does not say {part!r}: {message}"
