"""Schedules against PyTorch's step-by-step recurrences, and their limits."""

from __future__ import annotations

import inspect
import json
import math
import warnings
from fractions import Fraction

import numpy as np
import pytest

import lamina as lm
from lamina import schedules
from lamina.base.config import plain
from lamina.models import steps as steps_of_models

LR, N = 0.4, 60


# ---- the oracles: one rate at a time, as PyTorch's schedulers and the papers say it ----------------------------------------------


def cosine_with_restarts(t, warmup, first, growth, floor):
    if t < warmup:
        return LR * (t + 1) / (warmup + 1)
    t, length = t - warmup, first
    while t >= length:
        t, length = t - length, length * growth
    return floor + (LR - floor) * (1 + math.cos(math.pi * t / length)) / 2


def one_cycle(t, steps, rise, div, final_div, linear=False):
    start = LR / div
    end = start / final_div
    peak = rise * steps - 1

    def between(a, b, share):
        return a + (b - a) * share if linear else b + (a - b) / 2 * (1 + math.cos(math.pi * share))

    if t <= peak:
        return between(start, LR, t / peak)
    return between(LR, end, min(1, (t - peak) / (steps - 1 - peak)))


ORACLES = {
    "Constant": [(schedules.Constant(LR), lambda t: LR)],
    "Step": [
        (schedules.Step(LR, 7), lambda t: LR * 0.1 ** (t // 7)),
        (schedules.Step(LR, 1, gamma=0.9), lambda t: LR * 0.9**t),
    ],
    "MultiStep": [
        (schedules.MultiStep(LR, [3, 10, 11]), lambda t: LR * 0.1 ** ((t >= 3) + (t >= 10) + (t >= 11))),
        (schedules.MultiStep(LR, range(3, 5)), lambda t: LR * 0.1 ** ((t >= 3) + (t >= 4))),
        (schedules.MultiStep(LR, (n for n in (3, 9))), lambda t: LR * 0.1 ** ((t >= 3) + (t >= 9))),
        (schedules.MultiStep(LR, (5,), gamma=2), lambda t: LR * (2 if t >= 5 else 1)),
    ],
    "Exponential": [
        (schedules.Exponential(LR, 0.95), lambda t: LR * 0.95**t),
        (schedules.Exponential(LR, 0.5, every=10), lambda t: LR * 2 ** (-t / 10)),
    ],
    "Polynomial": [
        (schedules.Polynomial(LR, 20), lambda t: LR * (1 - min(t, 20) / 20)),
        (schedules.Polynomial(LR, 20, power=2, floor=0.1), lambda t: 0.1 + 0.3 * (1 - min(t, 20) / 20) ** 2),
    ],
    "Cosine": [
        (schedules.Cosine(LR, 20), lambda t: LR * (1 + math.cos(math.pi * min(t, 20) / 20)) / 2),
        (
            schedules.Cosine(LR, 25, warmup=5, floor=0.1),
            lambda t: LR * (t + 1) / 6 if t < 5 else 0.1 + 0.3 * (1 + math.cos(math.pi * min(t - 5, 20) / 20)) / 2,
        ),
        (schedules.Cosine(LR, 10, restarts=True), lambda t: cosine_with_restarts(t, 0, 10, 1, 0)),
        (schedules.Cosine(LR, 9, restarts=True, warmup=4, growth=2, floor=0.05), lambda t: cosine_with_restarts(t, 4, 5, 2, 0.05)),
        (schedules.Cosine(LR, 7, restarts=True, growth=1.5), lambda t: cosine_with_restarts(t, 0, 7, 1.5, 0)),
    ],
    "OneCycle": [
        (schedules.OneCycle(LR, 40), lambda t: one_cycle(t, 40, 0.3, 25, 1e4)),
        (
            schedules.OneCycle(LR, 50, rise=0.5, div=10, final_div=100, shape="linear"),
            lambda t: one_cycle(t, 50, 0.5, 10, 100, linear=True),
        ),
    ],
    "Warmup": [
        (schedules.Warmup(LR, 5), lambda t: LR * (1 / 3 + 2 / 3 * min(t, 5) / 5)),
        (
            schedules.Warmup(schedules.Exponential(LR, 0.9), 10, start=0),
            lambda t: LR * 0.9**t * min(t, 10) / 10,
        ),
    ],
}
CASES = [
    pytest.param(schedule, oracle, id=f"{name} {i}")
    for name, cases in ORACLES.items()
    for i, (schedule, oracle) in enumerate(cases)
]


def test_every_schedule_has_an_oracle():
    assert set(ORACLES) == set(schedules.CLASSES)
    assert all(type(s).__name__ == name for name, cases in ORACLES.items() for s, _ in cases)


@pytest.mark.parametrize(("schedule", "oracle"), CASES)
def test_rates(schedule, oracle):
    steps = np.arange(N)
    want = [oracle(int(t)) for t in steps]
    got = schedule(steps)
    assert got.shape == (N,) and got.dtype == np.float64
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-15)
    assert float(schedule(3)) == got[3] and schedule(3).shape == ()
    np.testing.assert_array_equal(schedule(steps.reshape(6, 10)), got.reshape(6, 10))


@pytest.mark.parametrize(("schedule", "oracle"), CASES)
def test_rates_far_out_are_finite_and_not_negative(schedule, oracle):
    rates = schedule(np.array([10**5, 10**7, 10**9]))
    assert np.all(np.isfinite(rates)) or schedule.__dict__.get("gamma") == 2
    assert np.all(rates >= 0)


def test_restarts_start_at_the_top_however_long():
    """Each cycle's first step has the full rate, although cycle lengths are powers."""
    for growth in (2, 3):  # log(243) / log(3) is below 5
        schedule = schedules.Cosine(LR, 6, restarts=True, growth=growth)
        starts = [6 * (growth**n - 1) // (growth - 1) for n in range(20)]
        np.testing.assert_allclose(schedule(starts), LR, rtol=1e-12)


def test_a_cycle_too_short_to_rise_in_begins_at_the_top():
    for schedule in (schedules.OneCycle(LR, 3), schedules.OneCycle(LR, 2, rise=0.5)):
        assert schedule(0) == LR and schedule(schedule.steps - 1) == pytest.approx(LR / 25e4)


@pytest.mark.parametrize(("schedule", "oracle"), CASES)
def test_config(schedule, oracle):
    again = schedules.get(json.loads(json.dumps(plain(schedule))))
    assert plain(again) == plain(schedule) and type(again) is type(schedule)
    np.testing.assert_array_equal(again(np.arange(N)), schedule(np.arange(N)))


def test_a_function_is_a_schedule():
    schedule = schedules.get(lambda t: 0.1 / (1 + t))
    np.testing.assert_allclose(schedule([0, 1]), [0.1, 0.05])


@pytest.mark.parametrize(("schedule", "oracle"), CASES)
def test_a_number_gives_the_bits_that_it_has_in_an_array(schedule, oracle):
    assert [float(schedule(t)) for t in range(N)] == schedule(np.arange(N)).tolist()
    assert isinstance(schedule(0), float)


# ---- functions of one step -------------------------------------------------------------------------------------------------------

TABLE = {0: 0.3, 1: 0.2}

BY_STEP = {  # (a function that takes no array, its first rates)
    "a condition": (lambda t: 0.1 if t < 3 else 0.01, [0.1, 0.1, 0.1, 0.01, 0.01]),
    "a constant": (lambda t: 0.1, [0.1] * 5),
    "math": (lambda t: 0.1 / math.sqrt(1 + t), [0.1 / math.sqrt(1 + t) for t in range(5)]),
    "a table": (lambda t: TABLE.get(int(t), 0.1), [0.3, 0.2, 0.1, 0.1, 0.1]),
    "warmed up": (schedules.Warmup(lambda t: 0.1 if t < 3 else 0.01, 1, start=0.5), [0.05, 0.1, 0.1, 0.01, 0.01]),
}


@pytest.mark.parametrize("name", BY_STEP)
def test_a_function_that_takes_no_array_is_asked_step_by_step(name):
    function, expected = BY_STEP[name]
    schedule = schedules.get(function)
    np.testing.assert_allclose(schedule(np.arange(5)), expected, rtol=1e-15)
    assert schedule([[3], [0]]).tolist() == [[expected[3]], [expected[0]]] and schedule([]).shape == (0,)
    assert [float(schedule(t)) for t in range(5)] == schedule(np.arange(5)).tolist()


@pytest.mark.parametrize("name", BY_STEP)
def test_fit_steps_and_batches_take_the_same_rates(name):
    x, y = np.linspace(-1, 1, 35).reshape(7, 5), np.linspace(0, 1, 7)[:, None]
    nets = [trained(lm.optim.SGD(BY_STEP[name][0])) for _ in range(4)]
    nets[0].fit(x, y, batch_size=1, shuffle=False, verbose=0)
    nets[1].fit([(x[i : i + 1], y[i : i + 1]) for i in range(7)], verbose=0)
    each_batch = lm.callbacks.LambdaCallback(on_batch_end=lambda *_: None)
    nets[2].fit(x, y, batch_size=1, shuffle=False, callbacks=each_batch, verbose=0)
    for i in range(7):
        nets[3].train_step(x[i : i + 1], y[i : i + 1])
    for net in nets[1:]:
        assert all(np.array_equal(net.parameters[k], nets[0].parameters[k]) for k in net.parameters)


class ByStep(schedules.Schedule):
    def rate(self, t):
        return 0.2 if t > 1 else 0.1


def test_a_schedule_of_ones_own_may_have_a_condition():
    assert ByStep()([0, 1, 2]).tolist() == [0.1, 0.1, 0.2]


def test_what_an_array_hides_a_step_shows():
    def schedule(t):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        schedules.get(schedule)([0, 1])


# ---- single steps ----------------------------------------------------------------------------------------------------------------

STEPS = schedules.AHEAD + 30
BATCH = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4), np.linspace(0, 1, 3, dtype=np.float32)[:, None]


def trained(optimizer, dtype="float64"):
    return lm.Sequential(lm.Dense(1), seed=0, dtype=dtype).compile("mse", optimizer)


@pytest.mark.parametrize(("schedule", "oracle"), CASES)
def test_steps_by_a_schedule_are_those_of_its_rates(schedule, oracle):
    net, by_hand = trained(lm.optim.Adam(schedule)), trained(lm.optim.Adam(0.0))
    for rate in schedule(np.arange(STEPS)):
        by_hand.optimizer.lr = rate
        assert net.train_step(*BATCH) == by_hand.train_step(*BATCH)
    for name, value in net.optimizer.state.items():
        assert np.array_equal(value.value, by_hand.optimizer.state[name].value), name


def test_steps_by_a_schedule_take_the_quick_way(monkeypatch):
    for schedule in (schedules.Cosine(0.1, 500), lambda t: 0.1 / (1 + t), lambda t: 0.1 if t < 3 else 0.01):
        net = trained(lm.optim.Adam(schedule), "float32")
        net.train_step(*BATCH)
        with monkeypatch.context() as patched:
            patched.setattr(steps_of_models, "train_step", None)  # the long way
            for _ in range(STEPS):
                net.train_step(*BATCH)
        assert net.optimizer.steps == STEPS + 1


def test_a_rate_may_be_assigned_between_steps():
    net, by_hand = trained(lm.optim.SGD(schedules.Exponential(0.1, 0.9))), trained(lm.optim.SGD(0.0))
    second = schedules.Step(0.2, 3)
    for t in range(30):
        if t == 7:
            net.optimizer.lr = 0.05
        if t == 11:
            net.optimizer.lr = second
        if t == 20:
            net.optimizer.lr = lambda t: 0.01 * (t + 1)
        rate = 0.1 * 0.9**t if t < 7 else 0.05 if t < 11 else float(second(t)) if t < 20 else 0.01 * (t + 1)
        by_hand.optimizer.lr = rate
        np.testing.assert_allclose(net.train_step(*BATCH), by_hand.train_step(*BATCH), rtol=1e-13)
        assert net.optimizer.state["lr"].value == pytest.approx(rate, rel=1e-15)


def test_a_rate_that_a_callback_assigns_is_that_of_the_next_batch():
    x, y = np.linspace(-1, 1, 60).reshape(12, 5), np.linspace(0, 1, 12)[:, None]
    net, by_hand, second = trained(lm.optim.SGD(0.1)), trained(lm.optim.SGD(0.1)), schedules.Exponential(0.3, 0.8)
    assigned = {2: second, 5: 0.02, 6: np.float64(0.03), 8: 1, 9: lambda t: 0.01 * t}

    def assign(batch, logs):
        if batch in assigned:
            net.optimizer.lr = assigned[batch]

    watch = lm.callbacks.LambdaCallback(on_batch_end=assign)
    net.fit(x, y, batch_size=1, shuffle=False, callbacks=watch, verbose=0)
    for i in range(12):
        by_hand.train_step(x[i : i + 1], y[i : i + 1])
        if i in assigned:
            by_hand.optimizer.lr = assigned[i]
    assert all(np.array_equal(net.parameters[k], by_hand.parameters[k]) for k in net.parameters)
    assert net.optimizer.steps == 12 and net.optimizer.state["lr"].value == 0.01 * 11


def test_a_function_reads_what_a_callback_has_written():
    x, y = np.linspace(-1, 1, 30).reshape(6, 5), np.linspace(0, 1, 6)[:, None]
    rate, taken = [0.1], []
    net = trained(lm.optim.SGD(lambda t: rate[0]))

    def halve(batch, logs):
        taken.append(float(net.optimizer.state["lr"].value))
        rate[0] /= 2

    net.fit(x, y, batch_size=2, callbacks=lm.callbacks.LambdaCallback(on_batch_end=halve), verbose=0)
    assert taken == [0.1, 0.05, 0.025]


def test_steps_after_a_fit_and_after_a_restored_state_have_the_rates_of_their_numbers():
    schedule = schedules.Polynomial(0.1, 50)
    net = trained(lm.optim.SGD(schedule))
    for count in (1, 2, 3):
        net.train_step(*BATCH)
        net.fit(*BATCH, batch_size=1, epochs=count, verbose=0)
        net.train_step(*BATCH)
        assert net.optimizer.state["lr"].value == schedule(net.optimizer.steps - 1)
    net.optimizer.lr = schedule  # whose first rate at hand is that of the next step
    net.train_step(*BATCH)
    clock = net.optimizer.state["clock"]
    clock.value = [3.0, *clock.value[1:]]
    net.train_step(*BATCH)
    assert net.optimizer.state["lr"].value == schedule(3)


def test_a_function_of_one_step_is_asked_for_no_other():
    rate, asked = [0.1], []

    def schedule(t):
        asked.append(int(t))  # no array is an int
        return rate[0]

    net = trained(lm.optim.SGD(schedule))
    for t in range(5):
        rate[0] = 0.1 * t
        net.train_step(*BATCH)
        assert net.optimizer.state["lr"].value == 0.1 * t
    assert max(asked) == 4


@pytest.mark.parametrize("bad", [-1.0, np.nan, "exception"])
def test_a_fault_to_come_stops_the_step_that_it_is_of(bad):
    def schedule(t):
        if bad == "exception" and np.max(t) >= 5:
            raise LookupError("mine")
        return np.where(t >= 5, bad, 0.1) if bad != "exception" else 0.1 + 0 * t

    net = trained(lm.optim.SGD(schedule))
    for _ in range(5):
        net.train_step(*BATCH)
    before = net.parameters["dense_1.weight"]
    with pytest.raises((ValueError, LookupError), match="at step 5|mine"):
        net.train_step(*BATCH)
    assert net.optimizer.steps == 5 and np.array_equal(before, net.parameters["dense_1.weight"])
    net.optimizer.lr = 0.1
    net.train_step(*BATCH)


MISTAKES = {
    "lr to be a number >= 0, got -1": lambda: schedules.Step(-1, 3),
    "every >= 1, got 0": lambda: schedules.Step(0.1, 0),
    "every to be a whole number >= 1, got 2.5": lambda: schedules.Step(0.1, 2.5),
    "gamma to be a number > 0, got 0": lambda: schedules.Exponential(0.1, 0),
    "increasing milestones, got [5, 3]": lambda: schedules.MultiStep(0.1, [5, 3]),
    "milestones to be step numbers, got 7": lambda: schedules.MultiStep(0.1, 7),
    "steps >= 1, got 0": lambda: schedules.Cosine(0.1, 0),
    "warmup < steps = 10, got 10": lambda: schedules.Cosine(0.1, 10, warmup=10),
    "floor to be a number in [0, 0.1], got 0.2": lambda: schedules.Cosine(0.1, 10, floor=0.2),
    "growth to be a number >= 1, got 0.5": lambda: schedules.Cosine(0.1, 10, growth=0.5),
    "restarts to be True or False, got 2": lambda: schedules.Cosine(0.1, 10, restarts=2),
    "rise to be a number in (0, 1), got 1": lambda: schedules.OneCycle(0.1, 10, rise=1),
    "shape to be one of 'cos', 'linear', got 'line'": lambda: schedules.OneCycle(0.1, 10, shape="line"),
    "power to be a number > 0, got -1": lambda: schedules.Polynomial(0.1, 10, power=-1),
    "start to be a number in [0, 1], got 2": lambda: schedules.Warmup(0.1, 10, start=2),
    "step numbers >= 0, got -1": lambda: schedules.Constant(0.1)([-1, 0]),
    "a rate or a schedule, got the name 'Step'": lambda: schedules.get("Step"),
    "a rate for each step from": lambda: schedules.get(lambda t: [0.1, 0.2])([0, 1, 2]),
    "rates from": lambda: schedules.get(lambda t: None)([0, 1, 2]),
    "finite rates >= 0 from": lambda: schedules.get(lambda t: -0.1 if t > 1 else 0.1)([0, 1, 2]),
    "finite rates >= 0 from Function(<lambda>), got inf at step 1": lambda: schedules.get(lambda t: t * math.inf)([1, 2]),
    "a rate or a schedule, got the class Cosine; pass lm.schedules.Cosine(...)": lambda: schedules.get(schedules.Cosine),
    "a function of step numbers, got 3": lambda: schedules.Function(3),
    "a function of step numbers, got a lambda(); pass e.g.": lambda: schedules.get(lambda: 0.1),
}


@pytest.mark.parametrize("text", MISTAKES)
def test_mistake(text):
    with pytest.raises((ValueError, TypeError)) as caught:
        MISTAKES[text]()
    assert f"expected {text}" in str(caught.value) and str(caught.value).startswith("[")


@pytest.mark.parametrize("name", schedules.names())
def test_an_argument_that_is_wrong_is_named(name):
    known = {"lr": 0.1, "steps": 10, "every": 2, "gamma": 0.5, "milestones": [1, 2]}
    parameters = inspect.signature(schedules.CLASSES[name]).parameters
    given = {key: known[key] for key, parameter in parameters.items() if parameter.default is parameter.empty}
    for key in parameters:
        where = "Constant" if (name, key) == ("Warmup", "lr") else name
        with pytest.raises((TypeError, ValueError), match=rf"^\[schedules\.{where}\] expected {key} to be "):
            schedules.CLASSES[name](**{**given, key: object()})


def test_unknown_name():
    with pytest.raises(ValueError, match=r"\[schedules\] unknown name 'cosin'; did you mean 'Cosine'\?"):
        schedules.get("cosin")


@pytest.mark.parametrize("schedule", [schedules.Cosine(0.1, 5), schedules.Polynomial(0.1, 9), schedules.Step(0.1, 1)], ids=repr)
def test_a_schedule_of_epochs_warns_that_it_counts_batches(schedule):
    x = np.linspace(-1, 1, 40)[:, None]
    net = lm.Sequential(lm.Dense(1), seed=0)
    with pytest.warns(UserWarning, match=r"\[fit\] .* of 6 on; its steps are batches, of which an epoch has 4: .* 24 steps is"):
        net.fit(x, x, loss="mse", optimizer=lm.optim.SGD(schedule), epochs=6, batch_size=10, verbose=0)


def test_a_second_fit_after_the_end_of_its_schedule_warns():
    x = np.linspace(-1, 1, 40)[:, None]
    net = lm.Sequential(lm.Dense(1), seed=0)
    net.fit(x, x, loss="mse", optimizer=lm.optim.SGD(schedules.Cosine(0.1, 8)), epochs=2, batch_size=10, verbose=0)
    before = net.parameters["dense_1.weight"]
    with pytest.warns(UserWarning, match=r"gives 0 from epoch 1 of 3 on; .* one of 20 steps, 8 of them done, is as long as this"):
        net.fit(x, x, epochs=3, batch_size=10, verbose=0)
    assert np.array_equal(before, net.parameters["dense_1.weight"])


def test_a_schedule_as_long_as_the_fit_does_not_warn():
    x = np.linspace(-1, 1, 40)[:, None]
    lengths = [schedules.Cosine(0.1, 24), schedules.Polynomial(0.1, 24), schedules.Step(0.1, 8), schedules.OneCycle(0.1, 24)]
    lengths.append(schedules.Warmup(0.1, 4, start=0.0))  # 0 in the first epoch alone
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for schedule in (*lengths, lambda t: 0.0 * t, type("Mine", (schedules.Cosine,), {})(0.1, 5)):
            net = lm.Sequential(lm.Dense(1), seed=0)
            net.fit(x, x, loss="mse", optimizer=lm.optim.SGD(schedule), epochs=6, batch_size=10, verbose=0)
        stop = lm.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: setattr(net, "stop_training", True))
        options = {"loss": "mse", "optimizer": lm.optim.SGD(schedules.Cosine(0.1, 5)), "callbacks": stop, "verbose": 0}
        assert len(net.fit(x, x, epochs=10**12, **options)) == 1  # no memory for the rates of them all


def test_a_set_or_a_range_reaches_a_class_of_ones_own_as_it_is_and_is_written_down_as_a_list():
    class At(schedules.Schedule):
        def __init__(self, at, within):
            self.at, self.within = at | {0}, within.stop

        def rate(self, t):
            return np.where(np.isin(t, list(self.at)), 1.0, 0.5)

    made = At({5}, range(3))
    assert made.config() == {"at": [5], "within": [0, 1, 2]} and made.within == 3
    assert made([0, 1, 5]).tolist() == [1.0, 0.5, 1.0]


def test_a_schedule_of_ones_own_is_its_rate():
    """Another `__call__` would count in `fit`, and not in `train_step`."""
    for base in (schedules.Schedule, schedules.Cosine):
        with pytest.raises(TypeError, match=r"\[Mine\] expected a method rate\(t\).*got __call__; call it rate"):
            type("Mine", (base,), {"__call__": lambda self, t: 0.1})


def test_step_numbers_may_be_fractions_and_other_numbers():
    made = schedules.Cosine(0.1, 10)
    assert made(Fraction(3)) == made(3) and made([Fraction(3), 4]).tolist() == made([3, 4]).tolist()
    assert made(np.array([1, 2], object)).tolist() == made([1, 2]).tolist() and made(2**70) == 0


def test_what_a_schedule_of_ones_own_has_besides_is_its_own_affair():
    class Fading:
        parameters, tensor = {"start": 0.5}, 3

        def __call__(self, t):
            return self.parameters["start"] / (1 + t)

    assert lm.optim.SGD(Fading()).rate(1) == 0.25
