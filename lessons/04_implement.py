"""Lesson 4: the whole thing in 40 lines of NumPy, and the same in Lamina: the same numbers, the time of both, and real digits.

Run it with `lamina lesson 4`, or `python lessons/04_implement.py`. It writes lesson_4.svg.
To do: change one thing, and say before you run it what fails, and why. In 1: leave out `* (z1 > 0)`, or
`/ (1 - beta1**self.t)`, or `- z2.max(...)` (nothing fails: when would it?). In 2: seed=1 for seed=0 (nothing fails: why not?).
"""

import time

import numpy as np

import lamina as lm

# ---- 1. A network, its gradients and Adam, written out. Every step stands in `net.explain(level="derive")`, three of them
#         written differently: softmax of z2 less its maximum, which is the same; Y taken off by its places; m += (1 - b1) (g - m),
#         which is m = b1 m + (1 - b1) g.


class Network:
    """64 -> 32 -> 10 with ReLU, softmax and cross-entropy, trained by Adam."""

    def __init__(self, weights):
        self.w = weights  # [W1, b1, W2, b2]
        self.m = [np.zeros_like(w) for w in weights]
        self.v = [np.zeros_like(w) for w in weights]
        self.t = 0

    def forward(self, x):
        w1, b1, w2, b2 = self.w
        z1 = x @ w1 + b1
        a1 = np.maximum(z1, 0)
        z2 = a1 @ w2 + b2
        e = np.exp(z2 - z2.max(axis=1, keepdims=True))  # the largest exponent is 0: nothing overflows
        return z1, a1, e / e.sum(axis=1, keepdims=True)

    def train_step(self, x, y, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
        z1, a1, p = self.forward(x)
        rows = np.arange(len(x))
        loss = -np.log(p[rows, y]).mean()
        dz2 = p.copy()
        dz2[rows, y] -= 1
        dz2 /= len(x)  # left out, the losses in 3 still agree, as Adam hardly sees the size of gradients; the weights do not
        dz1 = (dz2 @ self.w[2].T) * (z1 > 0)
        gradients = [x.T @ dz1, dz1.sum(axis=0), a1.T @ dz2, dz2.sum(axis=0)]
        self.t += 1
        for w, m, v, g in zip(self.w, self.m, self.v, gradients, strict=True):
            m += (1 - beta1) * (g - m)
            v += (1 - beta2) * (g * g - v)
            w -= lr * (m / (1 - beta1**self.t)) / (np.sqrt(v / (1 - beta2**self.t)) + eps)
        return loss


# ---- 2. The same network in Lamina, and the same first weights in both.
X, y = lm.datasets.digits()
order = np.random.default_rng(0).permutation(len(X))
train, test = order[:1437], order[1437:]

net = lm.Sequential(lm.Dense(32, "relu"), lm.Dense(10), seed=0).build(64)
net.compile("cross_entropy", lm.optim.Adam(1e-3))
names = ["dense_1.weight", "dense_1.bias", "dense_2.weight", "dense_2.bias"]
ours = Network([net.parameters[name].astype(np.float64) for name in names])

# ---- 3. 100 steps of both on the same batches: the losses agree, and so do the weights.
batches = [train[i * 64 % 1408 : i * 64 % 1408 + 64] for i in range(100)]
pairs = [(net.train_step(X[b], y[b]), ours.train_step(X[b], y[b])) for b in batches]
apart = max(abs(a - b) for a, b in pairs)
print(f"100 steps: loss {pairs[0][0]:.4f} -> {pairs[-1][0]:.4f}, largest difference {apart:.1e}")
assert apart < 1e-5
for name, w in zip(names, ours.w, strict=True):
    assert np.allclose(net.parameters[name], w, atol=1e-5), name
assert np.allclose(lm.softmax(net.predict(X[test])), ours.forward(X[test])[2], atol=1e-4)  # and so the probabilities

# ---- 4. The time of one step, the best of five rounds.


def microseconds(step):
    best = np.inf
    for _ in range(5):
        begun = time.perf_counter()
        for b in data[:20]:
            step(*b)
        best = min(best, (time.perf_counter() - begun) / 20 * 1e6)
    return best


data = [(X[b], y[b]) for b in batches]
mine, lamina = microseconds(ours.train_step), microseconds(net.train_step)
print(f"a step of 64 images: {mine:.0f} us in NumPy, {lamina:.0f} us in Lamina ({mine / lamina:.1f} times as fast)")

# ---- 5. Trained for real: 20 epochs are one call.
net.fit(X[train], y[train], epochs=20, batch_size=64, validation_data=(X[test], y[test]), verbose=0)
right = net.evaluate(X[test], y[test], metrics=["accuracy"])["accuracy"]
print(f"{right:.1%} of {len(test)} digits that it has never seen are right")
assert right > 0.9

# ---- 6. The picture: one digit on its way through, and the error on its way back.
net.draw("lesson_4.svg", X[test[:1]], y[test[:1]])
print("wrote lesson_4.svg")
