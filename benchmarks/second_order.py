"""Second-order training beside SciPy and Adam, in one run: python benchmarks/second_order.py [--seeds 20] [--json out.json].

Every SciPy solver gets the same start, the same data, float64, and the analytic Jacobian in NumPy (or our own loss and gradient).
All have as many threads as OMP_NUM_THREADS says; beside Adam one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import time

import numpy as np
from scipy.optimize import least_squares, minimize

import lamina as lm
from lamina.models import feed
from lamina.training.problems import loss_and_gradient
from lamina.training.samples import with_finite_targets

GOAL = 1e-8


class Reached(Exception):
    """The goal, or the end of patience."""


def sinc(n: int = 10_000) -> tuple[np.ndarray, np.ndarray]:
    x = np.linspace(-10, 10, n)[:, None]
    return x, np.sinc(x / np.pi)


def start_of(net: lm.Model) -> np.ndarray:
    return np.concatenate([p.ravel() for p in net.parameters.values()]).astype(np.float64)


def scipy_least_squares(x, y, start, hidden: int, method: str, patience: float) -> dict:
    """Until the mean square is at GOAL."""
    n, k = len(x), hidden
    best, begun = [np.inf], time.perf_counter()

    def layers(w):
        h = np.tanh(x * w[:k] + w[k : 2 * k])
        return h, w[2 * k : 3 * k], w[3 * k]

    def residuals(w):
        h, v, c = layers(w)
        r = h @ v + c - y[:, 0]
        best[0] = min(best[0], float(r @ r) / n)
        if best[0] <= GOAL or time.perf_counter() - begun > patience:
            raise Reached
        return r

    def jacobian(w):
        h, v, _ = layers(w)
        j = np.empty((n, 3 * k + 1))
        d = (1 - h * h) * v
        j[:, :k], j[:, k : 2 * k], j[:, 2 * k : 3 * k], j[:, 3 * k] = d * x, d, h, 1
        return j

    with contextlib.suppress(Reached):
        least_squares(residuals, start, jacobian, method=method, ftol=1e-15, xtol=1e-15, gtol=1e-15, max_nfev=100_000)
    return {"seconds": time.perf_counter() - begun, "mse": best[0]}


def time_to_goal(seeds: int, patience: float) -> dict:
    """sin(x)/x, 1-20-1 tanh, 10,000 points: seconds to mse <= 1e-8; a solver of SciPy's is stopped after `patience` times ours."""
    x, y = sinc()
    rows = []
    for seed in range(seeds):
        net = lm.Sequential(lm.Dense(20, "tanh"), lm.Dense(1), seed=seed).build(1)
        start = start_of(net)
        begun = time.perf_counter()
        optimizer = lm.optim.LevenbergMarquardt(goal=GOAL, min_grad=1e-15)  # as SciPy's gtol
        history = net.fit(x, y, loss="mse", optimizer=optimizer, epochs=1000, verbose=0)
        ours = {"seconds": time.perf_counter() - begun, "mse": float(history.history["loss"][-1]), "steps": len(history)}
        theirs = {m: scipy_least_squares(x, y, start, 20, m, patience * ours["seconds"]) for m in ("lm", "trf")}
        reached = [t["seconds"] for t in theirs.values() if t["mse"] <= GOAL]
        ratio = 0.0 if ours["mse"] > GOAL else min(reached) / ours["seconds"] if reached else patience
        rows.append({"seed": seed, "ours": ours, **theirs, "ratio": ratio})
        print(f"  seed {seed}: ours {ours['seconds']:.2f} s ({ours['steps']} steps, mse {ours['mse']:.1e}),", end=" ")
        print(", ".join(f"{m} {t['seconds']:.2f} s ({t['mse']:.1e})" for m, t in theirs.items()), f"-> {ratio:.1f}x", flush=True)
    return {"rows": rows, "median ratio": float(np.median([r["ratio"] for r in rows]))}


def minima(seeds: int) -> dict:
    """The minimum after 1,000 steps beside those of SciPy's two after 1,000 evaluations, on 500 points and 10 hidden units."""
    x, y = sinc(500)
    rows = []
    for seed in range(seeds):
        net = lm.Sequential(lm.Dense(10, "tanh"), lm.Dense(1), seed=seed).build(1)
        start = start_of(net)
        optimizer = lm.optim.LevenbergMarquardt(min_grad=1e-15)  # as SciPy's gtol
        history = net.fit(x, y, loss="mse", optimizer=optimizer, epochs=1000, verbose=0)

        def f(w):
            return np.tanh(x * w[:10] + w[10:20]) @ w[20:30] + w[30] - y[:, 0]

        def jacobian(w):
            h = np.tanh(x * w[:10] + w[10:20])
            d = (1 - h * h) * w[20:30]
            return np.concatenate([d * x, d, h, np.ones((len(x), 1))], axis=1)

        limits = {"max_nfev": 1000, "ftol": 1e-15, "xtol": 1e-15, "gtol": 1e-15}
        found = [2 * least_squares(f, start, jacobian, method=m, **limits).cost / len(x) for m in ("lm", "trf")]
        rows.append((float(history.history["loss"][-1]), *found))
    ours, *theirs = np.array(rows).T
    return {"ours": ours.tolist()} | {
        m: {"minima": t.tolist(), "median": float(np.median(ours / t))} for m, t in zip(("lm", "trf"), theirs, strict=True)
    }


def robot_arm(n: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """Where a planar arm of four joints ends: x = sum_i l_i cos(a_1 + .. + a_i), and y with the sine."""
    rng = np.random.default_rng(0)
    angles = rng.uniform(-1.0, 1.0, (n, 4))
    total = np.cumsum(angles, axis=1)
    lengths = np.array([1.0, 0.8, 0.5, 0.3])
    return angles, np.stack([(lengths * np.cos(total)).sum(1), (lengths * np.sin(total)).sum(1)], axis=1)


def diabetes() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_diabetes

    x, y = load_diabetes(return_X_y=True)
    return (x - x.mean(0)) / x.std(0), (y - y.mean()) / y.std()


RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)


def beside_adam(x: np.ndarray, y: np.ndarray, hidden: int, seeds: int, epochs: list[int]) -> list[dict]:
    """Levenberg-Marquardt's loss after a tenth of the time T that one run of Adam takes, at the best of its rates.

    The same net and start for both; batches of 32 and the whole data; processor seconds on one thread, from `fit` on.
    """

    def net(seed: int) -> lm.Model:
        return lm.Sequential(lm.Dense(hidden, "tanh"), lm.Dense(1 if y.ndim == 1 else y.shape[1]), seed=seed)

    def adam(seed: int, lr: float, batch: int) -> list[tuple[float, float]]:
        other, seconds, done, found = net(seed).compile("mse", lm.optim.Adam(lr)), 0.0, 0, []
        for upto in epochs:
            begun = time.process_time()
            other.fit(x, y, epochs=upto - done, batch_size=batch, verbose=0)
            seconds, done = seconds + time.process_time() - begun, upto
            found.append((seconds, other.evaluate(x, y)["loss"]))
        return found

    def ours(seed: int, seconds: float) -> list[tuple[float, float]]:
        begun, seen, model = time.process_time(), [], net(seed)

        def note(epoch: int, logs: dict) -> None:
            seen.append((time.process_time() - begun, logs["loss"]))
            model.stop_training = seen[-1][0] > seconds

        optimizer, callback = lm.optim.LevenbergMarquardt(), lm.callbacks.LambdaCallback(on_epoch_end=note)
        model.fit(x, y, loss="mse", optimizer=optimizer, epochs=100_000, callbacks=[callback], verbose=0)
        return seen

    ours(0, 0.0)  # what a process does once
    rows = []
    for batch in (32, len(x)):
        runs = [[adam(seed, lr, batch) for lr in RATES] for seed in range(seeds)]
        ways = [ours(seed, max(run[-1][0] for run in several) / 10) for seed, several in enumerate(runs)]
        for i, upto in enumerate(epochs):
            pairs = []
            for several, way in zip(runs, ways, strict=True):
                seconds, theirs = min((run[i] for run in several), key=lambda found: found[1])
                pairs.append((seconds, theirs, min((loss for at, loss in way if at <= seconds / 10), default=float("inf"))))
            seconds, theirs, mine = (float(np.median(column)) for column in zip(*pairs, strict=True))
            ratio = float(np.median([a / b for _, a, b in pairs]))
            rows.append({"batch": batch, "epochs": upto, "seconds": seconds, "adam": theirs, "ours": mine, "adam / ours": ratio})
    return rows


def lbfgs(problems: int) -> dict:
    """Minima, evaluations and time of L-BFGS beside SciPy's L-BFGS-B, which is given our loss and gradient."""
    rows = []
    for seed in range(problems):
        rng = np.random.default_rng(seed)
        hidden = (5, 10, 30, 60)[seed % 4]
        x = rng.uniform(-1, 1, (500, 4))
        y = np.sin(2 * x.sum(1)) + x[:, 0] * x[:, 1]
        net = lm.Sequential(lm.Dense(hidden, "tanh"), lm.Dense(hidden, "tanh"), lm.Dense(1), seed=seed, dtype="float64").build(4)
        start, optimizer = start_of(net), lm.optim.LBFGS()
        begun = time.perf_counter()
        history = net.fit(x, y, loss="mse", optimizer=optimizer, epochs=200, verbose=0)
        seconds, losses = time.perf_counter() - begun, history.history["loss"]
        _, value = loss_and_gradient(net, with_finite_targets(net, feed.samples(net, x, y, None)), optimizer)
        begun = time.perf_counter()
        limits = {"maxiter": 200, "maxfun": 10_000, "ftol": 1e-15, "gtol": 1e-7}
        found = minimize(value, start, jac=True, method="L-BFGS-B", options=limits)
        theirs = time.perf_counter() - begun
        same = int(np.argmax(losses <= found.fun)) + 1 if losses[-1] <= found.fun else len(losses)
        rows.append(
            {
                "parameters": len(start),
                "minimum ours / theirs": float(losses[-1] / found.fun),
                "evaluations ours / theirs": optimizer.evaluations / found.nfev,
                "seconds theirs / ours": theirs / seconds,
                "seconds theirs / ours, to their minimum": theirs / (seconds * same / len(losses)),
            }
        )
    large = [r for r in rows if r["parameters"] >= 1000]
    return {
        "rows": rows,
        "median": {k: float(np.median([r[k] for r in rows])) for k in rows[0]},
        "median from 1,000 parameters": {k: float(np.median([r[k] for r in large])) for k in rows[0]} if large else {},
    }


def per_sample() -> dict:
    """Gradients of each sample, 4-64-64-2 at batch 256, in milliseconds: ours, a loop over samples, PyTorch's vmap(grad)."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(256, 4)).astype("f4"), rng.normal(size=(256, 2)).astype("f4")
    net = lm.Sequential(lm.Dense(64, "tanh"), lm.Dense(64, "tanh"), lm.Dense(2), seed=0).compile("mse", "sgd")

    def best(f, repeats: int) -> float:
        f()
        times = []
        for _ in range(repeats):
            begun = time.perf_counter()
            f()
            times.append(time.perf_counter() - begun)
        return 1e3 * min(times)

    result = {
        "ours": best(lambda: net.per_sample_gradients(x, y), 50),
        "loop": best(lambda: [net.gradients(x[i : i + 1], y[i : i + 1]) for i in range(256)], 3),
    }
    try:
        import torch
        from torch.func import functional_call, grad, vmap
    except ImportError:
        return result
    layers = [torch.nn.Linear(4, 64), torch.nn.Tanh(), torch.nn.Linear(64, 64), torch.nn.Tanh(), torch.nn.Linear(64, 2)]
    module = torch.nn.Sequential(*layers)
    parameters = {k: v.detach() for k, v in module.named_parameters()}
    each = vmap(grad(lambda p, a, b: ((functional_call(module, p, (a[None],)) - b[None]) ** 2).mean()), (None, 0, 0))
    a, b = torch.from_numpy(x), torch.from_numpy(y)
    return {**result, "torch": best(lambda: each(parameters, a, b), 50)}


def bar(text: str, reached: bool) -> None:
    """One line of the report: a figure, and whether it is where it shall be."""
    print(f"{'reached' if reached else 'MISSED '}  {text}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="of the minima; half as many of the time to the goal")
    parser.add_argument("--patience", type=float, default=12.0, help="how many times ours a solver of SciPy's may take")
    parser.add_argument("--adam-seeds", type=int, default=3)
    parser.add_argument("--adam-epochs", type=int, nargs="+", default=[500, 2000, 8000])
    parser.add_argument("--json")
    args = parser.parse_args()
    results: dict = {"time to goal": time_to_goal(max(1, args.seeds // 2), args.patience)}
    ratio = results["time to goal"]["median ratio"]
    bar(f"sin(x)/x to mse 1e-8: {ratio:.1f}x the better of SciPy's lm and trf in the median (5x)", ratio >= 5)
    results["minima"] = minima(args.seeds)
    for method in ("lm", "trf"):
        ratio = results["minima"][method]["median"]
        bar(f"sin(x)/x, minimum of ours / SciPy's {method}: {ratio:.3g} in the median of {args.seeds} seeds (1)", ratio <= 1)

    threads = lm.get_num_threads()
    lm.set_num_threads(1)
    for name, data, hidden in (("diabetes", diabetes(), 10), ("diabetes", diabetes(), 20), ("robot arm", robot_arm(), 20)):
        rows = results[f"{name} {hidden}"] = beside_adam(*data, hidden, args.adam_seeds, sorted(args.adam_epochs))
        for r in rows:
            text = f"{name}, {hidden} hidden, Adam {r['epochs']} epochs of batches of {r['batch']}: "
            text += f"{r['adam']:.3g} in {r['seconds']:.2f} s, ours {r['ours']:.3g} in a tenth of it: {r['adam / ours']:.3g}x (1x)"
            bar(text, r["adam / ours"] >= 1)
    lm.set_num_threads(threads)

    results["lbfgs"] = lbfgs(20)
    median, large = results["lbfgs"]["median"], results["lbfgs"]["median from 1,000 parameters"]
    ratio = median["minimum ours / theirs"]
    bar(f"L-BFGS, minimum of ours / SciPy's: {ratio:.3g} in the median of 20 problems (1)", ratio <= 1)
    ratio = median["evaluations ours / theirs"]
    bar(f"L-BFGS, evaluations of ours / SciPy's: {ratio:.3g} in the median of 20 problems (1)", ratio <= 1)
    ratio, steps = large["seconds theirs / ours, to their minimum"], large["seconds theirs / ours"]
    bar(f"L-BFGS from 1,000 parameters: {ratio:.3g}x SciPy's speed to its minimum (1x); {steps:.3g}x for as many steps", ratio >= 1)
    ms = results["per sample"] = per_sample()
    bar(f"per-sample gradients: {ms['ours']:.2f} ms, a loop {ms['loop'] / ms['ours']:.3g}x (5x)", ms["loop"] >= 5 * ms["ours"])
    if "torch" in ms:
        bar(f"per-sample gradients: PyTorch's vmap(grad) {ms['torch'] / ms['ours']:.3g}x (1x)", ms["torch"] >= ms["ours"])
    if args.json:
        with open(args.json, "w") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
