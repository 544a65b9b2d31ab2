"""Lesson 3: how a network learns. Losses, gradients, where the transposes come from, and four optimizers from the same start.

Run it with `lamina lesson 3`, or `python lessons/03_training.py`. It writes lesson_3.svg.
To do: change one thing, and say before you run it what fails, and why. In 4: `A @ dZ` for `A.T @ dZ`, `mean` for `sum` of the bias.
In 6: 0.2 for the 0.1. In 7: leave out `/ (1 - 0.9**t)`. In 8: SGD(1.0) for SGD(0.02), Adam(0.0001) for Adam(0.01).
"""

from pathlib import Path

import numpy as np

import lamina as lm
from lamina.draw.canvas import Canvas
from lamina.draw.theme import LIGHT

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
X, y = np.random.default_rng(0).normal(size=(2, 4)), np.array([0, 2])
trace = net.trace(X, y)
print("\n" + net.explain(X, y, level="derive"))

# ---- 3. A gradient can be checked by hand: move ONE weight a little both ways, and see how the loss moves.
#         `net.parameters[name]` gives the weights as they are now; they change only where an array is assigned to that name.
weight = net.parameters["dense_1.weight"]
row, column = np.unravel_index(np.argmax(np.abs(trace["dW1"])), weight.shape)  # the one with the largest gradient
difference = 0.0
for h in (1e-6, -1e-6):
    moved = weight.copy()
    moved[row, column] += h
    net.parameters["dense_1.weight"] = moved
    difference += net.evaluate(X, y)["loss"] / (2 * h)  # (L(w + h) - L(w - h)) / 2h
net.parameters["dense_1.weight"] = weight
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

# ---- 5. Softmax makes probabilities P of the logits. Cross-entropy is L = -mean ln P[i, y_i], and P[i, y_i] is the probability of
#         the right class: L is 0 where that is 1. The gradient of both together is one line: dZ = (P - Y) / B.
Y = np.eye(3)[y]  # a row a sample, 1 at the right class
assert np.isclose(trace["L"], -np.log((trace["P"] * Y).sum(axis=1)).mean())
assert np.allclose(trace["dZ2"], (trace["P"] - Y) / len(X))

# ---- 6. An update moves each weight against its gradient. SGD: w - lr g.
net.train_step(X, y)
assert np.allclose(net.parameters["dense_1.weight"], weight - 0.1 * trace["dW1"])

# ---- 7. Adam keeps two averages of a weight's gradients g: m of g, v of g^2, with b1 = 0.9 and b2 = 0.999. Both start at 0:
#         after t steps m holds only the share 1 - b1^t of the gradients, so it is divided by that; v likewise, by 1 - b2^t.
#         If every g is 10 times as large, the step lr m / sqrt(v) stays the same.
net.compile("cross_entropy", lm.optim.Adam(0.01))
w, m, v = net.parameters["dense_1.weight"], 0.0, 0.0
for t in (1, 2, 3):
    g = net.trace(X, y)["dW1"]
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
    w = w - 0.01 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    net.train_step(X, y)
    assert np.allclose(net.parameters["dense_1.weight"], w)

# ---- 8. Four optimizers from the same start, on Fisher's flowers. SGD goes straight down; momentum remembers where it was going;
#         RMSProp divides by the usual size of a gradient, so that every weight moves at its own pace; Adam does both. The learning
#         rates are chosen by hand. A curve is the loss over all flowers, before the training and after each epoch.
flowers, species = lm.datasets.iris()
flowers = (flowers - flowers.mean(axis=0)) / flowers.std(axis=0)
runs = {  # the optimizer; its colour and dashes in the picture
    "SGD": (lm.optim.SGD(0.02), "#b35806", "2 3"),
    "momentum": (lm.optim.SGD(0.02, momentum=0.9), "#7a5195", "7 3"),
    "RMSProp": (lm.optim.RMSProp(0.01), "#2166ac", "12 3"),
    "Adam": (lm.optim.Adam(0.01), "#1b7837", "none"),
}
curves = {}
for name, (optimizer, *_) in runs.items():
    model = lm.Sequential(lm.Dense(8, "relu"), lm.Dense(3), seed=0).compile("cross_entropy", optimizer)
    start = model.evaluate(flowers, species)["loss"]
    after = model.fit(flowers, species, epochs=20, validation_data=(flowers, species), verbose=0)["val_loss"]
    curves[name] = np.array([start, *after])
    print(f"{name:>9}: loss {start:.3f} -> {after[-1]:.3f} in 20 epochs")
assert all(curves[name][0] == start and curves[name][-1] < curves["SGD"][-1] for name in ("momentum", "RMSProp", "Adam"))

# ---- 9. The picture: the four losses on one scale.
canvas = Canvas(640, 380, LIGHT)
canvas.text(50, 30, "Loss on the iris flowers, four optimizers from one start", 15, bold=True)
top = max(curve.max() for curve in curves.values())
for value in np.arange(0, top, 0.25):
    canvas.path(f"M50 {340 - 290 * value / top:.1f}H500", LIGHT.rule)
    canvas.text(42, 344 - 290 * value / top, f"{value:g}", 12, anchor="end", fill=LIGHT.muted)
lowest = 360.0
for name in sorted(curves, key=lambda name: curves[name][-1]):  # from below, so that no label covers another
    _, colour, dash = runs[name]
    points = "L".join(f"{50 + 450 * i / 20:.1f} {340 - 290 * value / top:.1f}" for i, value in enumerate(curves[name]))
    canvas.path(f"M{points}", colour, 2.5, f' stroke-dasharray="{dash}"')
    lowest = min(lowest - 17, 344 - 290 * curves[name][-1] / top)
    canvas.text(512, lowest, f"{name} {curves[name][-1]:.2f}", 13, fill=colour)
canvas.text(275, 366, "before the training, and after epochs 1 to 20", 12, anchor="middle", fill=LIGHT.muted)
Path("lesson_3.svg").write_text(canvas.svg("Loss of four optimizers", "RMSProp falls fastest, SGD slowest"), encoding="utf-8")
assert not canvas.overlapping()
print("\nwrote lesson_3.svg")
