"""A file that is valid and belongs to another network: what is said of it."""

from __future__ import annotations

import numpy as np
import pytest

import lamina as lm


def test_what_is_said_of_another_networks_file_is_short_and_ends_in_what_to_do(tmp_path):
    x, path = np.ones((4, 2)), str(tmp_path / "net.safetensors")
    saver = lm.callbacks.Checkpoint(path)
    named = lm.Sequential(lm.Dense(1), lm.Dense(1).named("w" * 100_000), seed=0)
    named.fit(x, x[:, :1], loss="mse", optimizer="sgd", epochs=1, callbacks=saver, verbose=0)
    other = lm.Sequential(lm.Dense(1), seed=0)
    with pytest.raises(
        ValueError, match="expected a file with the parameters of this network, no w.*or pass its own file"
    ) as caught:
        other.fit(x, x[:, :1], loss="mse", optimizer="sgd", epochs=1, resume=path, verbose=0)
    assert len(str(caught.value)) < 2000
