"""Lesson 2: what a network is. Layers, shapes, parameters, cost, and why there is an activation between two layers.

Run it with `lamina lesson 2`, or `python lessons/02_architecture.py`. It writes lesson_2.svg.
To do: change one thing, and say before you run it what fails, and why. In 2: 16 neurons for 8. In 5: X[:3] and y[:3] for two
flowers. In 8: "relu" for the first layer of `linear`. In 9: one epoch for 60.
"""

import numpy as np

import lamina as lm

# ---- 1. The data: 150 iris flowers, four lengths each. A row is a flower. The network must say which of three species it is.
X, y = lm.datasets.iris()
X = (X - X.mean(axis=0)) / X.std(axis=0)  # every column to mean 0 and deviation 1: weights then start at the right size
print(f"X {X.shape}: rows are flowers, columns are lengths;  y {y.shape}: species 0, 1, 2")
assert X.shape == (150, 4) and set(y) == {0, 1, 2}

# ---- 2. The network: 4 numbers in, 8 neurons, 3 numbers out. "relu" keeps what is positive: max(0, z).
#         The first weights are random; with the same seed they are the same ones at each run. The table's last column counts FLOP,
#         floating-point operations, for one flower: each product of two numbers is one, each sum is one.
net = lm.Sequential(lm.Dense(8, "relu"), lm.Dense(3), seed=0)
net.build(4)
print("\n" + net.summary())

# ---- 3. Counting parameters: a layer from n to m has an n x m matrix of weights and m biases.
count = (4 * 8 + 8) + (8 * 3 + 3)
assert sum(value.size for value in net.parameters.values()) == count == 67

# ---- 4. The same network as equations. B is the number of flowers that go through at once; nothing depends on it but the cost.
#         The loss says how wrong the answers are. Cross-entropy is L = -mean ln P[i, y_i], where P[i, y_i] is the probability that
#         the network gives to the species that flower i is (7.): L is 0 where that is 1. The optimizer says how the weights then
#         move; lesson 3 takes both apart.
net.compile("cross_entropy", "adam")
print("\n" + net.explain(level="shapes"))

# ---- 5. Counting work: (m x k)(k x n) makes m n dot products of length k, each k products and k additions: 2 m k n FLOP.
trace = net.trace(X[:2], y[:2])
first = trace.step("Z1")
assert first.flops == 2 * 2 * 4 * 8 + 2 * 8  # the product, and the bias added to 2 x 8 numbers
print(f"\nZ1 = X W1 + 1 b1^T: {' + '.join(map(str, first.parts))} FLOP for {len(X[:2])} flowers")

forward = sum(step.flops for step in trace.forward)
backward = sum(step.flops for step in trace.backward)
print(f"forward {forward} FLOP, backward {backward}: each product of the forward pass has two in the backward pass, save the first")
assert forward < backward < 3 * forward

# ---- 6. What goes through: rows of Z1 before the activation, of A1 after it, and of Z2, one number a species: the logits.
print("\none flower:", X[0].round(2))
for name in ("Z1", "A1", "Z2"):
    print(f"{name:>3}", trace[name][0].round(2))
assert np.allclose(trace["A1"], np.maximum(trace["Z1"], 0))

# ---- 7. Softmax makes probabilities of the three numbers: positive, and they sum to 1.
p = np.exp(trace["Z2"][0]) / np.exp(trace["Z2"][0]).sum()
print("  P", p.round(3), "sum", p.sum().round(3))
assert np.allclose(p, trace["P"][0], atol=1e-6)

# ---- 8. Why an activation? Without one, two layers are one: (X W1 + 1 b1^T) W2 + 1 b2^T = X (W1 W2) + 1 (b1^T W2 + b2^T).
linear = lm.Sequential(lm.Dense(8), lm.Dense(3), seed=0, dtype="float64").build(4)
w1, b1, w2, b2 = (linear.parameters[f"dense_{layer}.{part}"] for layer in (1, 2) for part in ("weight", "bias"))
one_layer = X @ (w1 @ w2) + (b1 @ w2 + b2)
assert np.allclose(linear.predict(X), one_layer)
print("\ntwo layers without an activation are one matrix of", (w1 @ w2).shape)

# ---- 9. With one they can bend. Points on two spirals: no straight line parts them. An epoch is one pass over all points:
#         `fit` takes 32 at a time (its batch_size), and moves the weights after each 32.
points, arm = lm.datasets.spirals(400)


def accuracy(activation):
    model = lm.Sequential(lm.Dense(32, activation), lm.Dense(32, activation), lm.Dense(2), seed=1)
    model.fit(points, arm, loss="cross_entropy", optimizer=lm.optim.Adam(1e-2), epochs=60, verbose=0)
    return model.evaluate(points, arm, metrics=["accuracy"])["accuracy"]


straight, bent = accuracy(None), accuracy("tanh")
print(f"two spirals: {straight:.0%} right without an activation, {bent:.0%} with tanh")
assert straight < 0.75 < 0.9 < bent

# ---- 10. The picture of the iris network, trained.
net.fit(X, y, loss="cross_entropy", optimizer=lm.optim.Adam(1e-2), epochs=60, verbose=0)
right = net.evaluate(X, y, metrics=["accuracy"])["accuracy"]
net.draw("lesson_2.svg", X[[0, 75, 149]], y[[0, 75, 149]])
print(f"\niris: {right:.0%} right after 60 epochs; wrote lesson_2.svg")
assert right > 0.93
