"""What a user's type checker sees: `mypy --strict python/lamina tests/typed_use.py` finds nothing. It is checked, and never run."""

from typing import TYPE_CHECKING

import numpy as np

import lamina as lm

if TYPE_CHECKING:
    from typing_extensions import assert_type

    image, x = lm.Input((28, 28)), lm.Input(8)
    h = lm.Dense(50, "tanh")(x)
    for tensor in (h, lm.Flatten()(image), lm.Add()(h, h), lm.Concatenate()([h, x]), lm.Activation("relu")(h), lm.Dropout()(h)):
        assert_type(tensor, lm.Tensor)
    assert_type(lm.cumsum(lm.diff(h), axis=1) % 2.0, lm.Tensor)
    assert_type(lm.Dense(3).named("head"), lm.Dense)
    assert_type(lm.Sequential(lm.Dense(1)).build(3).compile("mse", "adam"), lm.Sequential)
    assert_type(lm.Model(x, h).compile("mse", "adam"), lm.Model)
    for weight in ([1.0, 2.0], (1, 2), {0: 1.0}, np.ones(2), "balanced", None):
        assert_type(lm.Sequential().fit(x, class_weight=weight), lm.History)

    class Residual(lm.Layer):
        def build(self, x: lm.Tensor) -> None:
            self.inner = lm.Dense(x.shape[-1])

        def forward(self, x: lm.Tensor) -> lm.Tensor:
            return x + self.inner(x)
