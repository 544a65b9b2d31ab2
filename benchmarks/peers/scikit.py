"""scikit-learn: MLPClassifier and MLPRegressor by partial_fit, one step a call; with losses of its own."""

from __future__ import annotations

import warnings

import numpy as np

from benchmarks.timing import Contender
from benchmarks.workloads import Workload

NAME = "scikit-learn"


def version() -> str:
    import sklearn

    return sklearn.__version__


def set_threads(n: int) -> None:
    """OPENBLAS_NUM_THREADS has said it."""


def training(w: Workload, **_: bool) -> dict[str, Contender]:
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    if w.activation not in ("tanh", "relu"):
        return {}
    kind = MLPRegressor if w.loss == "mse" else MLPClassifier
    net = kind(
        hidden_layer_sizes=w.sizes[1:-1], activation=w.activation, solver=w.optimizer, alpha=0.0, batch_size=w.batch,
        learning_rate_init=w.rate, momentum=0.0, nesterovs_momentum=False, shuffle=False, random_state=0,
    )  # fmt: skip
    x, y = w.data
    if kind is MLPClassifier:
        y, classes = y.reshape(-1).astype(np.int64), np.arange(max(2, w.sizes[-1]))
        options = {"classes": classes}
    else:
        options = {}

    def run(k: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(k):
                net.partial_fit(x, y, **options)

    return {NAME: Contender(run, check=False)}
