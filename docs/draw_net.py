"""Makes the pictures of the README: `python docs/draw_net.py` writes docs/net.svg and docs/net-dark.svg.

The network is that of `lamina demo`: 64 -> 128 -> 10 on handwritten digits. The time of a step differs from run to run.
"""

from pathlib import Path

import lamina as lm
from lamina.cli import SPLIT_SEED, split

FOLDER = Path(__file__).parent

X, y = lm.datasets.digits()
train, test = split(y, SPLIT_SEED)
net = lm.Sequential(lm.Dense(128, "relu"), lm.Dense(10), seed=0)
net.fit(
    X[train],
    y[train],
    loss="cross_entropy",
    optimizer=lm.optim.Adam(1e-3),
    epochs=15,
    batch_size=64,
    validation_data=(X[test], y[test]),
    verbose=0,
)
show = [test[y[test] == digit][0] for digit in (3, 5, 8)]
net.draw(FOLDER / "net.svg", X[show], y[show])
net.draw(FOLDER / "net-dark.svg", X[show], y[show], theme="dark")
print("wrote", *(FOLDER / name for name in ("net.svg", "net-dark.svg")))
