"""L-BFGS: directions against the two loops, the line search against Wolfe's conditions, minima against SciPy's."""

from __future__ import annotations

import numpy as np
import pytest

import lamina as lm
from fitting import sinc, small
from lamina import _core as core
from lamina.models import feed
from lamina.optim.wolfe import Point, cubic_minimum, search
from lamina.training.all_data import AllData
from lamina.training.sources import with_finite_targets


def descent_of(net, x, y):
    """What `fit` would drive."""
    source = AllData(net, with_finite_targets(net, feed.samples(net, x, y, None)), {})
    source.prepare()
    return source.descent


def two_loops(pairs, g):
    """-H g as Nocedal and Wright's algorithm 7.4 has it."""
    q, alphas = g.copy(), []
    for s, y in reversed(pairs):
        alphas.append((s @ q) / (s @ y))
        q -= alphas[-1] * y
    s, y = pairs[-1]
    q *= (s @ y) / (y @ y)
    for (s, y), a in zip(pairs, reversed(alphas), strict=True):
        q += s * (a - (y @ q) / (s @ y))
    return -q


@pytest.mark.parametrize("unit", [1e-25, 1.0, 1e25, 1e38, 1e45])  # of the gradient: it, or products of two are beyond float32
@pytest.mark.parametrize("most", [1, 2, 5])
def test_directions_are_those_of_the_two_loops(most, unit, rng):
    def compare():
        want = two_loops(kept, g)
        np.testing.assert_allclose(pairs.direction(), want, rtol=0, atol=2e-5 * np.abs(want).max())  # the pairs are in float32

    pairs, kept, g = core.CurvaturePairs(most, 8), [], unit * rng.normal(size=8)
    curvature = unit * np.diag(rng.uniform(0.1, 10, 8))
    pairs.start_at(g)
    np.testing.assert_array_equal(pairs.direction(), -g)
    for _ in range(23):
        s = rng.normal(size=8)
        y = curvature @ s
        g = g + y
        pairs.add(s, g)
        kept = [*kept, (s, y)][-most:]
        compare()
    g = g - unit * s
    pairs.add(s, g)  # no positive curvature
    assert len(pairs) == most
    compare()


@pytest.mark.parametrize("unit, step", [(1e60, 1.0), (1e40, 1e-20), (1e30, 1e39), (1e-30, 1e39), (1e154, 1.0), (1e200, 1e20)])
def test_pairs_that_float32_cannot_hold_are_left_out(unit, step, rng):
    pairs, g, curvature = core.CurvaturePairs(3, 8), unit * rng.normal(size=8), unit / step * rng.uniform(0.1, 10, 8)
    pairs.start_at(g)
    for _ in range(7):
        s = step * rng.normal(size=8)
        g = g + curvature * s
        pairs.add(s, g)
        d = pairs.direction()
        assert np.isfinite(d).all() and all(np.isfinite(a).all() for a in pairs.arrays())
        assert float((d / np.abs(d).max()) @ (g / np.abs(g).max())) < 0


def test_pairs_are_the_same_on_any_number_of_threads_and_taken_up_again(rng, threads):
    """Of so many weights that their rows are shared out."""
    size, most = 20_011, 20
    steps, curvature = rng.normal(size=(2 * most + 3, size)), rng.uniform(0.1, 10, size)
    directions = []
    for count in (1, 2, 5):
        threads(count)
        pairs, g = core.CurvaturePairs(most, size), np.ones(size)
        pairs.start_at(g)
        for s in steps:  # so many that they are moved to the front
            g = g + curvature * s
            pairs.add(s, g)
        again = core.CurvaturePairs(most, size)
        again.take(*pairs.arrays())
        again.start_at(g)
        assert len(again) == most and again.largest == np.abs(g).max()
        np.testing.assert_array_equal(again.direction(), pairs.direction())
        directions.append(pairs.direction())
    kept = [(s, curvature * s) for s in steps[-most:]]
    np.testing.assert_allclose(directions[0], two_loops(kept, g), rtol=0, atol=1e-5 * np.abs(directions[0]).max())
    assert all(np.array_equal(d, directions[0]) for d in directions)


def test_pairs_refuse_what_is_of_another_size():
    pairs, g = core.CurvaturePairs(2, 3), np.ones(3)
    pairs.start_at(g)
    for call in (
        lambda: pairs.start_at(np.ones(2)),
        lambda: pairs.add(np.ones(2), g),
        lambda: pairs.add(g, np.ones(4)),
        lambda: pairs.take(np.ones((2, 1, 4), "float32"), np.ones((2, 1, 1))),
        lambda: pairs.take(np.ones((2, 3, 3), "float32"), np.ones((2, 3, 3))),
        lambda: core.CurvaturePairs(0, 3),
    ):
        with pytest.raises(ValueError, match="expected"):
            call()
    np.testing.assert_array_equal(pairs.direction(), -g)
    pairs.start_at(np.array([1.0, np.nan, 2.0]))
    assert np.isnan(pairs.largest)


def test_a_pair_of_which_one_is_nothing_in_float32_beside_the_other_is_left_out():
    for step, count in ((1e-20, 0), (1e-3, 1)):
        pairs = core.CurvaturePairs(4, 3)
        pairs.start_at(np.zeros(3))
        pairs.add(np.full(3, step), np.full(3, 1e38))
        assert len(pairs) == count
        np.testing.assert_allclose(pairs.direction(), [-step if count else -1e38] * 3, rtol=1e-6)


@pytest.mark.parametrize(("along", "count"), [(1e-9, 1), (1e-11, 0), (-1.0, 0)])
def test_a_pair_across_each_other_says_nothing_about_curvature(along, count):
    pairs = core.CurvaturePairs(4, 2)
    pairs.start_at(np.zeros(2))
    pairs.add(np.array([1.0, 0.0]), np.array([along, 1.0]))
    assert len(pairs) == count


def test_lbfgs_takes_gradients_beyond_float32():
    x = 1e20 * np.linspace(-1, 1, 20)[:, None]
    net = lm.Sequential(lm.Dense(1, bias=False), seed=0)
    losses = net.fit(x, 3 * x, loss="mse", optimizer=lm.optim.LBFGS(), epochs=20, verbose=0)["loss"]
    assert losses[-1] < 1e-6 * losses[0]
    np.testing.assert_allclose(net.parameters["dense_1.weight"], 3, rtol=1e-6)


def test_where_rounding_has_spoilt_the_pairs_a_step_goes_along_minus_g():
    x, y = sinc(100)
    net = small(dtype="float64")
    optimizer = lm.optim.LBFGS()
    net.fit(x, y, loss="mse", optimizer=optimizer, epochs=9, verbose=0)
    descent = descent_of(net, x, y)
    descent.advance()
    theta, f, g = descent.at
    assert len(descent.pairs) == 10

    class Spoilt(core.CurvaturePairs):
        def direction(self):
            return g

    spoilt = Spoilt(100, len(g))
    spoilt.take(*descent.pairs.arrays())
    spoilt.start_at(g)
    descent.pairs = spoilt
    assert descent.advance() < f
    step = descent.at[0] - theta
    np.testing.assert_allclose(step @ g, -np.linalg.norm(step) * np.linalg.norm(g))
    assert len(descent.pairs) == 1


def test_lbfgs_finds_the_minimum_of_a_quadratic(rng):
    """A linear network with mse: the minimum is that of least squares."""
    x = rng.normal(size=(60, 5)) * np.array([1, 3, 10, 0.3, 1])
    y = rng.normal(size=60)
    net = lm.Sequential(lm.Dense(1), seed=0, dtype="float64")
    net.fit(x, y, loss="mse", optimizer=lm.optim.LBFGS(), epochs=100, verbose=0)
    best = np.linalg.lstsq(np.c_[x, np.ones(60)], y, None)[0]
    np.testing.assert_allclose(net.parameters["dense_1.weight"][:, 0], best[:5], atol=1e-6)
    assert net.optimizer.stop_reason in ("gradient", "change")


def test_every_step_satisfies_the_wolfe_conditions():
    x, y = sinc(100)
    descent = descent_of(small(dtype="float64").build(1).compile("mse", lm.optim.LBFGS()), x, y)
    descent.advance()
    for _ in range(40):
        theta, f, g = descent.at
        assert descent.advance() == descent.at[1]
        new, f_new, g_new = descent.at
        step = new - theta
        assert f_new <= f + 1e-4 * (g @ step)
        assert abs(g_new @ step) <= 0.9 * abs(g @ step)


def test_a_search_takes_what_is_lower_and_stays_where_the_loss_is_a_number():
    def along(f, slope):
        return lambda t: Point(t, f(t), slope(t), np.zeros(1), np.zeros(1))

    def found(f, slope, first, most=25):
        at = along(f, slope)
        return search(at, at(0.0), first, most)

    assert found(lambda t: abs(t), lambda t: -1.0 if t == 0 else 1.0, 1.0) is None
    for center, first in ((3.0, 1.0), (3.0, 40.0), (3.0, 1e-4), (1e-3, 5.0)):
        point = found(lambda t: (t - center) ** 4 - t, lambda t: 4 * (t - center) ** 3 - 1, first)  # noqa: B023
        assert point.f < center**4 and abs(point.slope) <= 0.9 * (4 * center**3 + 1)
    assert cubic_minimum(*map(along(lambda t: -t - t**3, lambda t: -1 - 3 * t**2), (0.0, 1.0))) is None


@pytest.mark.parametrize(("scale", "center", "reason"), [(1.0, 0.1, "change"), (1e3, 0.1, None), (1e-3, 3.0, None)])
def test_a_change_is_small_where_both_that_of_weights_and_that_of_the_loss_are(scale, center, reason):
    net = lm.Sequential(lm.Dense(1, bias=False, weight_init="zeros"), dtype="float64")
    optimizer = lm.optim.LBFGS(tol_change=0.5)
    net.fit([[1.0]], [[center]], loss=lambda p, t: scale * (p - t) ** 2, optimizer=optimizer, verbose=0)
    assert optimizer.stop_reason == reason


def test_a_step_to_where_the_loss_is_no_number_is_too_long():
    net = lm.Sequential(lm.Dense(1, bias=False, weight_init=lm.initializers.constant(0.5)), dtype="float64")
    net.fit([[1.0]], [[0.0]], loss=lambda p, t: p - 0.1 * lm.log(p), optimizer="lbfgs", epochs=30, verbose=0)
    assert net.parameters["dense_1.weight"].item() == pytest.approx(0.1)


def test_lbfgs_beside_scipy():
    """At least as good a minimum as SciPy's L-BFGS-B in no more evaluations, in the median of ten problems."""
    minimize = pytest.importorskip("scipy.optimize").minimize
    ratios, spent = [], []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        x = rng.uniform(-1, 1, (100, 2))
        y = np.sin(3 * x[:, 0]) * x[:, 1]
        net = lm.Sequential(lm.Dense(6, "tanh"), lm.Dense(1), seed=seed, dtype="float64").build(2)
        start = np.concatenate([p.ravel() for p in net.parameters.values()])
        optimizer = lm.optim.LBFGS()
        history = net.fit(x, y, loss="mse", optimizer=optimizer, epochs=150, verbose=0)
        loss = descent_of(net, x, y).value
        found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 150, "ftol": 0, "gtol": 0})
        ratios.append(history.history["loss"][-1] / found.fun)
        spent.append(optimizer.evaluations / found.nfev)
    assert np.median(ratios) <= 1
    assert np.median(spent) <= 1.02


def test_lbfgs_takes_any_loss_and_says_when_it_is_not_finite():
    x, y = lm.datasets.digits()
    net = lm.Sequential(lm.Dense(10), seed=0)
    history = net.fit(x[:500], y[:500], loss="cross_entropy", optimizer="lbfgs", epochs=40, metrics=["accuracy"], verbose=0)
    assert history.history["loss"][-1] < 0.02
    assert history.history["accuracy"][-1] == 1
    net = lm.Sequential(lm.Dense(1), seed=0)
    with pytest.raises(FloatingPointError, match="expected a finite loss"):
        net.fit(np.ones((3, 1)), np.ones(3), loss=lambda p, t: lm.log(p * 0 - 1), optimizer="lbfgs", verbose=0)


def test_lbfgs_goes_below_zero(rng):
    """A likelihood has no least value; a goal may be any number."""
    x = rng.normal(size=(200, 2))
    y = 0.1 * rng.normal(size=200) + x[:, 0]  # at best ln(0.1) + 1/2 = -1.8
    for goal, reached in ((None, -1.7), (-1.0, -1.0)):
        inputs = lm.Input(2)
        outputs = lm.concatenate([lm.Dense(1)(inputs), lm.Dense(1, "softplus")(inputs)], 1)
        net = lm.Model(inputs, outputs, seed=0)
        optimizer = lm.optim.LBFGS(goal=goal)
        losses = net.fit(x, y, loss="gaussian_nll", optimizer=optimizer, epochs=200, verbose=0)["loss"]
        assert losses[-1] <= reached
        assert (optimizer.stop_reason == "goal") == (goal is not None)
        assert goal is None or losses[-2] > goal
    with pytest.raises(ValueError, match=r"\[optim.LBFGS\] expected goal to be a finite number, got inf"):
        lm.optim.LBFGS(goal=np.inf)
    with pytest.raises(ValueError, match=r"\[optim.LevenbergMarquardt\] expected goal to be a number >= 0, got -1.0"):
        lm.optim.LevenbergMarquardt(goal=-1.0)


def test_lbfgs_ends_at_once_where_there_is_nothing_to_learn():
    net = lm.Sequential(lm.Activation("tanh"), seed=0)
    history = net.fit(np.ones((3, 1)), np.zeros((3, 1)), loss="mse", optimizer=lm.optim.LBFGS(), epochs=2, verbose=0)
    assert net.optimizer.stop_reason == "gradient" and len(history) == 1
    net.fit(np.ones((3, 1)), np.zeros((3, 1)), optimizer=lm.optim.LBFGS(goal=float(history["loss"][0])), verbose=0)
    assert net.optimizer.stop_reason == "goal"
