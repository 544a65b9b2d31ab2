"""What docs/from_inversion_to_training.md computes, step by step; the page quotes it, the tests run it."""

from __future__ import annotations

import numpy as np

import lamina as lm


def normal_equations() -> tuple[np.ndarray, np.ndarray]:
    """A line through points: by the inverse, and as one operation."""
    rng = np.random.default_rng(0)
    t = np.linspace(0, 1, 20)
    y = 1 + 2 * t + 0.1 * rng.normal(size=20)
    A = np.stack([np.ones(20), t], axis=1)
    by_inverse = lm.linalg.inv(A.T @ A) @ A.T @ y
    return by_inverse, lm.linalg.lstsq(A, y)


def digits(condition: float) -> tuple[float, float]:
    """How many digits of w are right by lstsq and by the normal equations, for a matrix of this condition number."""
    rng = np.random.default_rng(0)
    left, right = (np.linalg.qr(rng.normal(size=(n, 2)))[0] for n in (20, 2))
    A, w = left @ np.diag([1.0, 1 / condition]) @ right.T, np.array([1.0, 2.0])
    y = A @ w
    by_product = np.linalg.solve(A.T @ A, A.T @ y)  # NumPy's, which does not say that nothing is left
    return tuple(float(-np.log10(np.abs(found / w - 1).max())) for found in (lm.linalg.lstsq(A, y), by_product))


def ridge(r: float) -> tuple[np.ndarray, np.ndarray]:
    """Two columns that are nearly the same: A^T A cannot be inverted, with a ridge it can."""
    A = np.array([[1.0, 1.0], [1.0, 1.0 + 1e-9], [1.0, 1.0 - 1e-9]])
    y = np.array([2.0, 2.0, 2.0])
    by_inverse = lm.linalg.inv(A.T @ A + r * np.eye(2)) @ A.T @ y
    return by_inverse, lm.linalg.lstsq(A, y, ridge=r)


def readout() -> float:
    """A network whose last layer alone is solved: the mean squared error."""
    x = np.linspace(-3, 3, 300)[:, None]
    net = lm.Sequential(lm.Dense(40, "tanh"), lm.Readout(1, l2=1e-10), seed=0, dtype="float64")
    return net.fit_readout(x, np.sin(2 * x))


def one_step() -> tuple[np.ndarray, np.ndarray]:
    """A step of Levenberg-Marquardt by hand, with J as a symbol, beside the optimizer's."""
    x = np.linspace(-2, 2, 30)[:, None]
    y = np.sin(x)
    net = lm.Sequential(lm.Dense(3, "tanh"), lm.Dense(1), seed=0, dtype="float64").build(1)
    w = lm.placeholder((10,), "float64")  # all weights as one vector
    hidden = lm.tanh(x * w[:3] + w[3:6])
    e = (hidden @ lm.reshape(w[6:9], (3, 1)) + w[9] - y)[:, 0] / np.sqrt(len(x))
    J = lm.jacobian(e, w)
    mu = 1e-3
    d = -lm.linalg.solve(J.T @ J + mu * np.eye(10), J.T @ e)
    start = np.concatenate([p.ravel() for p in net.parameters.values()])
    by_hand = start + lm.function([w], d)(start)
    optimizer = lm.optim.LevenbergMarquardt(mu, scaling="identity", acceleration=False)
    net.fit(x, y, loss="mse", optimizer=optimizer, epochs=1, verbose=0)
    return by_hand, np.concatenate([p.ravel() for p in net.parameters.values()])


def training() -> tuple[float, float]:
    """Losses on sin(x) / x, medians of seven starts: Levenberg-Marquardt after 200 steps, Adam after 3,000 on the same data."""
    x = np.linspace(-10, 10, 500)[:, None]
    y = np.sinc(x / np.pi)
    losses = []
    for optimizer, epochs in ((lm.optim.LevenbergMarquardt(), 200), (lm.optim.Adam(1e-2), 3000)):
        nets = [lm.Sequential(lm.Dense(20, "tanh"), lm.Dense(1), seed=seed) for seed in range(7)]
        fits = [net.fit(x, y, loss="mse", optimizer=optimizer, epochs=epochs, batch_size=500, verbose=0) for net in nets]
        losses.append(float(np.median([fit.history["loss"][-1] for fit in fits])))
    return losses[0], losses[1]


if __name__ == "__main__":
    print("a line, by the inverse and by lstsq:", *normal_equations())
    print("digits at a condition of 1e9, by lstsq and by the normal equations: {:.1f}, {:.1f}".format(*digits(1e9)))
    print("ridge, both ways:", *ridge(1e-6))
    print(f"the last layer solved: mse {readout():.1e}")
    by_hand, optimizer = one_step()
    print(f"one step by hand and by the optimizer differ by {np.abs(by_hand - optimizer).max():.1e}")
    print("sin(x)/x: Levenberg-Marquardt after 200 steps {:.1e}, Adam after 3,000 {:.1e}".format(*training()))
