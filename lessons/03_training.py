"""Lesson 3: how a network learns. Losses, gradients, where the transposes come from, and four optimizers from the same start.

Run it with `lamina lesson 3`, or `python lessons/03_training.py`. It writes lesson_3.svg.
"""

from pathlib import Path

import numpy as np

import lamina as lm
from lamina.draw.canvas import Canvas
from lamina.draw.theme import LIGHT

rng = np.random.default_rng(0)

# ---- 1. A loss says how wrong a prediction is, as one number; its gradient says which way to move the prediction.

prediction, target = np.array([[0.2], [0.9]]), np.array([[0.0], [1.0]])
print("mse", float(lm.losses.mse(prediction, target)), " mae", float(lm.losses.mae(prediction, target)))
assert np.isclose(lm.losses.mse(prediction, target), ((prediction - target) ** 2).mean())

# Lamina differentiates math: grad makes the gradient as another tensor.
p = lm.placeholder((2, 1), dtype="float64")
slope = lm.function([p], lm.grad(lm.mean((p - target) ** 2), p))
assert np.allclose(slope(prediction), 2 * (prediction - target) / target.size)  # 2 (p - t) / n

# ---- 2. A small network, and one batch of two samples.

net = lm.Sequential(lm.Dense(8, "relu"), lm.Dense(3), seed=0, dtype="float64").compile("cross_entropy", lm.optim.SGD(0.1))
X, y = rng.normal(size=(2, 4)), np.array([0, 2])
trace = net.trace(X, y)
print("\n" + net.explain(X, y, level="derive"))

# ---- 3. A gradient can be checked by hand: move ONE weight a little both ways, and see how the loss moves.

weight = net.parameters["dense_1.weight"]
row, column = np.unravel_index(np.argmax(np.abs(trace["dW1"])), weight.shape)
h = 1e-6
losses = []
for step in (h, -h):
    moved = weight.copy()
    moved[row, column] += step
    net.parameters["dense_1.weight"] = moved
    losses.append(net.evaluate(X, y)["loss"])
net.parameters["dense_1.weight"] = weight
difference = (losses[0] - losses[1]) / (2 * h)
print(f"\ndW1[{row + 1},{column + 1}]: backward {trace['dW1'][row, column]:.8f}, finite difference {difference:.8f}")
assert np.isclose(trace["dW1"][row, column], difference, atol=1e-8)

# ---- 4. Where does the transpose come from? Z[i, j] = sum_k A[i, k] W[k, j]. The weight W[k, j] meets every sample i through
#         A[i, k] and moves Z[i, j]. The chain rule adds up all ways on which it moves L, each the product of its slopes:
#         dL/dW[k, j] = sum_i A[i, k] dZ[i, j]. The sum runs over the FIRST index of A: A^T dZ.
#         In the same way dL/dA[i, k] = sum_j dZ[i, j] W[k, j] runs over the second index of W: dZ W^T.

A, W, dZ = trace["A1"], net.parameters["dense_2.weight"], trace["dZ2"]
by_sums = np.array([[sum(A[i, k] * dZ[i, j] for i in range(2)) for j in range(3)] for k in range(8)])
assert np.allclose(by_sums, A.T @ dZ) and np.allclose(by_sums, trace["dW2"])
assert np.allclose(dZ @ W.T, trace["dA1"])

# One outer product a sample, added up: a batch's gradient is the sum of its samples' gradients.
assert np.allclose(sum(np.outer(A[i], dZ[i]) for i in range(2)), trace["dW2"])
# The bias is added to every row, so its gradient is the sum of the rows.
assert np.allclose(dZ.sum(axis=0), trace["db2"])
# ReLU passes the error on where its input was positive, and stops it elsewhere.
assert np.allclose(trace["dZ1"], trace["dA1"] * (trace["Z1"] > 0))

# ---- 5. For softmax with cross-entropy all of that ends in one line: dZ = (P - Y) / B.

Y = np.eye(3)[y]
assert np.allclose(trace["dZ2"], (trace["P"] - Y) / len(X))

# ---- 6. An update moves each weight against its gradient. SGD: w - lr g.

before = net.parameters["dense_1.weight"]
net.train_step(X, y)
assert np.allclose(net.parameters["dense_1.weight"], before - 0.1 * trace["dW1"])

# ---- 7. Four optimizers from the same start, on Fisher's flowers.
#         SGD goes straight down; momentum remembers where it was going; RMSProp divides by the usual size of a gradient, so that
#         every weight moves at its own pace; Adam does both.

flowers, species = lm.datasets.iris()
flowers = (flowers - flowers.mean(axis=0)) / flowers.std(axis=0)
optimizers = {
    "SGD": lm.optim.SGD(0.02),
    "momentum": lm.optim.SGD(0.02, momentum=0.9),
    "RMSProp": lm.optim.RMSProp(0.01),
    "Adam": lm.optim.Adam(0.01),
}
curves = {}
for name, optimizer in optimizers.items():
    model = lm.Sequential(lm.Dense(8, "relu"), lm.Dense(3), seed=0)
    curves[name] = model.fit(flowers, species, loss="cross_entropy", optimizer=optimizer, epochs=20, verbose=0)["loss"]
    print(f"{name:>9}: loss {curves[name][0]:.3f} -> {curves[name][-1]:.3f} in 20 epochs")
assert all(curves[name][-1] < curves["SGD"][-1] for name in ("momentum", "RMSProp", "Adam"))

# ---- 8. The picture: the four losses on one scale.

canvas = Canvas(640, 380, LIGHT)
canvas.text(50, 30, "Loss on the iris flowers, four optimizers from one start", 15, bold=True)
top = max(curve.max() for curve in curves.values())
for value in np.arange(0, top, 0.25):
    y = 340 - 290 * value / top
    canvas.path(f"M50 {y:.1f}H500", LIGHT.rule)
    canvas.text(42, y + 4, f"{value:g}", 12, anchor="end", fill=LIGHT.muted)
pens = {"SGD": ("#b35806", "2 3"), "momentum": ("#7a5195", "7 3"), "RMSProp": ("#2166ac", "12 3"), "Adam": ("#1b7837", "none")}
lowest = 360.0
for name in sorted(curves, key=lambda name: curves[name][-1]):  # from below, so that no label covers another
    colour, dash = pens[name]
    points = "L".join(f"{50 + 450 * i / 19:.1f} {340 - 290 * value / top:.1f}" for i, value in enumerate(curves[name]))
    canvas.path(f"M{points}", colour, 2.5, f' stroke-dasharray="{dash}"')
    lowest = min(lowest - 17, 344 - 290 * curves[name][-1] / top)
    canvas.text(512, lowest, f"{name} {curves[name][-1]:.2f}", 13, fill=colour)
canvas.text(275, 366, "epochs 1 to 20", 12, anchor="middle", fill=LIGHT.muted)
picture = canvas.svg("Loss of four optimizers", "RMSProp falls fastest, SGD slowest")
Path("lesson_3.svg").write_text(picture, encoding="utf-8")
assert not canvas.overlapping()
print("\nwrote lesson_3.svg")
