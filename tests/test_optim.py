"""Optimizers over 100 steps against PyTorch's formulas (tests/reference_rules.py), with options, clipping, schedules and state."""

from __future__ import annotations

import copy
import json
import pickle
import re
from dataclasses import dataclass, field

import numpy as np
import pytest

import lamina as lm
from lamina import _core as core
from lamina import optim, schedules
from reference_rules import RULES

STEPS = 100
TOLERANCE = {"float32": 1e-5, "float64": 1e-10}
SHAPES = {"dense_1.weight": (5, 7), "dense_1.bias": (7,), "scale": ()}


@dataclass
class Case:
    optimizer: object  # () -> Optimizer
    rule: str
    lr: float
    hyper: dict = field(default_factory=dict)  # written out by hand: what the constructor's arguments must become


ADAM = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0, "decoupled": 0.0, "eps_keras": 0.0}
BETAS = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0}

ORACLES: dict[str, list[Case]] = {
    "sgd": [
        Case(optim.SGD, "sgd_plain", 1e-3, {"weight_decay": 0}),
        Case(lambda: optim.SGD(0.05, weight_decay=0.1), "sgd_plain", 0.05, {"weight_decay": 0.1}),
        Case(
            lambda: optim.SGD(0.01, momentum=0.9), "sgd", 0.01, {"momentum": 0.9, "dampening": 0, "nesterov": 0, "weight_decay": 0}
        ),
        Case(
            lambda: optim.SGD(0.01, momentum=0.8, dampening=0.3, weight_decay=0.05),
            "sgd",
            0.01,
            {"momentum": 0.8, "dampening": 0.3, "nesterov": 0, "weight_decay": 0.05},
        ),
        Case(
            lambda: optim.SGD(0.01, momentum=0.9, nesterov=True, weight_decay=0.05),
            "sgd",
            0.01,
            {"momentum": 0.9, "dampening": 0, "nesterov": 1, "weight_decay": 0.05},
        ),
    ],
    "adam": [
        Case(optim.Adam, "adam", 1e-3, ADAM),
        Case(
            lambda: optim.Adam(0.02, betas=(0.8, 0.95), eps=1e-4, weight_decay=0.1),
            "adam",
            0.02,
            {**ADAM, "beta1": 0.8, "beta2": 0.95, "eps": 1e-4, "weight_decay": 0.1},
        ),
        Case(lambda: optim.Adam(0.02, eps=1e-3, eps_mode="keras"), "adam", 0.02, {**ADAM, "eps": 1e-3, "eps_keras": 1}),
        Case(lambda: optim.Adam(0.02, amsgrad=True, weight_decay=0.1), "adam_amsgrad", 0.02, {**ADAM, "weight_decay": 0.1}),
    ],
    "adamw": [
        Case(optim.AdamW, "adam", 1e-3, {**ADAM, "weight_decay": 0.01, "decoupled": 1}),
        Case(
            lambda: optim.AdamW(0.02, weight_decay=0.2, amsgrad=True),
            "adam_amsgrad",
            0.02,
            {**ADAM, "weight_decay": 0.2, "decoupled": 1},
        ),
    ],
    "rmsprop": [
        Case(optim.RMSProp, "rmsprop", 1e-2, {"alpha": 0.99, "eps": 1e-8, "weight_decay": 0}),
        Case(
            lambda: optim.RMSProp(0.01, alpha=0.9, eps=1e-4, momentum=0.7, centered=True, weight_decay=0.1),
            "rmsprop_full",
            0.01,
            {"alpha": 0.9, "eps": 1e-4, "weight_decay": 0.1, "momentum": 0.7, "centered": 1},
        ),
        Case(
            lambda: optim.RMSProp(0.01, momentum=0.7),
            "rmsprop_full",
            0.01,
            {"alpha": 0.99, "eps": 1e-8, "weight_decay": 0, "momentum": 0.7, "centered": 0},
        ),
        Case(
            lambda: optim.RMSProp(0.01, centered=True, eps=1e-3),
            "rmsprop_full",
            0.01,
            {"alpha": 0.99, "eps": 1e-3, "weight_decay": 0, "momentum": 0, "centered": 1},
        ),
    ],
    "adagrad": [
        Case(optim.Adagrad, "adagrad", 1e-2, {"eps": 1e-10, "weight_decay": 0, "lr_decay": 0}),
        Case(
            lambda: optim.Adagrad(0.1, lr_decay=0.02, eps=1e-3, weight_decay=0.1),
            "adagrad",
            0.1,
            {"eps": 1e-3, "weight_decay": 0.1, "lr_decay": 0.02},
        ),
    ],
    "adadelta": [
        Case(optim.Adadelta, "adadelta", 1.0, {"rho": 0.9, "eps": 1e-6, "weight_decay": 0}),
        Case(
            lambda: optim.Adadelta(0.5, rho=0.8, eps=1e-4, weight_decay=0.1),
            "adadelta",
            0.5,
            {"rho": 0.8, "eps": 1e-4, "weight_decay": 0.1},
        ),
    ],
    "adamax": [
        Case(optim.Adamax, "adamax", 2e-3, BETAS),
        Case(
            lambda: optim.Adamax(0.02, betas=(0.8, 0.95), weight_decay=0.1),
            "adamax",
            0.02,
            {**BETAS, "beta1": 0.8, "beta2": 0.95, "weight_decay": 0.1},
        ),
    ],
    "nadam": [
        Case(optim.NAdam, "nadam", 2e-3, {**BETAS, "psi": 4e-3}),
        Case(
            lambda: optim.NAdam(0.02, momentum_decay=0.05, weight_decay=0.1),
            "nadam",
            0.02,
            {**BETAS, "weight_decay": 0.1, "psi": 0.05},
        ),
    ],
    "radam": [
        Case(optim.RAdam, "radam", 1e-3, BETAS),
        Case(
            lambda: optim.RAdam(0.02, betas=(0.8, 0.9), weight_decay=0.1),
            "radam",
            0.02,
            {**BETAS, "beta1": 0.8, "beta2": 0.9, "weight_decay": 0.1},
        ),
    ],
    "rprop": [
        Case(optim.Rprop, "rprop", 1e-2, {"eta_minus": 0.5, "eta_plus": 1.2, "step_min": 1e-6, "step_max": 50}),
        Case(
            lambda: optim.Rprop(0.1, etas=(0.4, 1.5), step_sizes=(1e-3, 0.2)),
            "rprop",
            0.1,
            {"eta_minus": 0.4, "eta_plus": 1.5, "step_min": 1e-3, "step_max": 0.2},
        ),
    ],
    "lion": [
        Case(optim.Lion, "lion", 1e-4, {"beta1": 0.9, "beta2": 0.99, "weight_decay": 0}),
        Case(
            lambda: optim.Lion(0.01, betas=(0.8, 0.9), weight_decay=0.1),
            "lion",
            0.01,
            {"beta1": 0.8, "beta2": 0.9, "weight_decay": 0.1},
        ),
    ],
}
CASES = [pytest.param(case, id=f"{name} {i}") for name, cases in ORACLES.items() for i, case in enumerate(cases)]


def test_every_optimizer_and_rule_has_an_oracle():
    for name in (name for name, kind in optim.OPTIMIZERS.items() if kind.rule is not None):  # the others have files of their own
        assert name in ORACLES, f"no oracle for {name}"
        assert all(isinstance(case.optimizer(), optim.OPTIMIZERS[name]) for case in ORACLES[name])
    used = {case.rule for cases in ORACLES.values() for case in cases}
    assert used == set(core.rule_names())


class Problem:
    """Parameters, and an updating program whose gradients are its inputs."""

    def __init__(self, optimizer: optim.Optimizer, dtype: str = "float64", seed: int = 0):
        self.rng = np.random.default_rng(seed)
        self.values = {name: self.rng.normal(size=shape).astype(dtype) for name, shape in SHAPES.items()}
        self.parameters = [lm.Parameter(value, name=name, dtype=dtype) for name, value in self.values.items()]
        self.gradients = [lm.placeholder(shape, dtype) for shape in SHAPES.values()]
        self.optimizer = optimizer
        effects = optimizer.effects(self.parameters, self.gradients)
        self.program = core.Program([g.node for g in self.gradients], [], [e.node for e in effects], True)

    def step(self, gradients) -> None:
        self.program.run([gradients[name] for name in SHAPES])

    @property
    def now(self) -> dict[str, np.ndarray]:
        return {name: p.value.astype(np.float64) for name, p in zip(SHAPES, self.parameters, strict=True)}

    def random_gradients(self, dtype: str = "float64") -> dict[str, np.ndarray]:
        """Of several sizes, some elements exactly 0 now and then, and with a drift, so that signs last."""

        def gradient(shape: tuple[int, ...]) -> np.ndarray:
            size, kept = 10 ** self.rng.uniform(-2, 1), self.rng.random(shape) > 0.1
            return np.asarray(self.rng.normal(0.5, 1, shape) * size * kept, dtype)

        return {name: gradient(shape) for name, shape in SHAPES.items()}


class Reference:
    """The same optimizer in NumPy, in float64."""

    def __init__(self, case: Case, values: dict[str, np.ndarray]):
        self.rule, self.case, self.t, self.shared = RULES[case.rule], case, 0, {}
        self.values = {name: np.asarray(v, np.float64) for name, v in values.items()}
        first = self.rule.initial
        self.slots = {
            name: {s: np.full(v.shape, first[s](case.lr) if s in first else 0.0) for s in self.rule.slots}
            for name, v in self.values.items()
        }

    def step(self, gradients, lr: float | None = None) -> None:
        self.t += 1
        lr = self.case.lr if lr is None else lr
        for name, g in gradients.items():
            g = np.asarray(g, np.float64)
            self.values[name] = self.rule.step(self.values[name], g, self.slots[name], lr, self.t, self.case.hyper, self.shared)


def close(got: dict, want: dict, tolerance: float) -> None:
    for name, value in want.items():
        np.testing.assert_allclose(got[name], value, rtol=tolerance, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES)
def test_hundred_steps(case, dtype):
    problem = Problem(case.optimizer(), dtype)
    reference = Reference(case, problem.values)
    assert problem.optimizer.hyper() == pytest.approx(case.hyper)
    assert tuple(problem.optimizer.hyper()) == RULES[case.rule].hypers and tuple(problem.optimizer.slots) == RULES[case.rule].slots
    for _ in range(STEPS):
        gradients = problem.random_gradients(dtype)
        problem.step(gradients)
        reference.step(gradients)
    close(problem.now, reference.values, TOLERANCE[dtype])
    assert problem.optimizer.steps == STEPS


def test_adagrad_starts_where_told():
    problem = Problem(optim.Adagrad(0.1, initial_accumulator_value=0.5))
    reference = Reference(Case(None, "adagrad", 0.1, {"eps": 1e-10, "weight_decay": 0, "lr_decay": 0}), problem.values)
    for slots in reference.slots.values():
        slots["sum"] += 0.5
    for _ in range(5):
        gradients = problem.random_gradients()
        problem.step(gradients)
        reference.step(gradients)
    close(problem.now, reference.values, 1e-12)


# ---- clipping --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "options", [{"clip_norm": 1.0}, {"clip_value": 0.3}, {"clip_norm": 0.5, "clip_value": 0.3}, {"clip_norm": 1e9}], ids=str
)
def test_clipping(options, dtype):
    """By value first, then all gradients together by min(1, c / (norm + 1e-6))."""
    problem = Problem(optim.SGD(1.0, **options), dtype)
    before, gradients = problem.now, problem.random_gradients(dtype)
    problem.step(gradients)
    g = {name: np.asarray(v, np.float64) for name, v in gradients.items()}
    if "clip_value" in options:
        g = {name: np.clip(v, -0.3, 0.3) for name, v in g.items()}
    if "clip_norm" in options:
        norm = np.sqrt(sum((v**2).sum() for v in g.values()))
        g = {name: v * min(1, options["clip_norm"] / (norm + 1e-6)) for name, v in g.items()}
    close(problem.now, {name: before[name] - g[name] for name in g}, TOLERANCE[dtype])


# ---- the learning rate -----------------------------------------------------------------------------------------------------------


def test_a_new_rate_holds_from_the_next_step():
    problem = Problem(optim.SGD(0.1))
    before, gradients = problem.now, problem.random_gradients()
    problem.step(gradients)
    problem.optimizer.lr = 0.5
    problem.step(gradients)
    close(problem.now, {name: before[name] - 0.6 * g for name, g in gradients.items()}, 1e-12)
    assert problem.optimizer.lr == 0.5 and problem.optimizer.config()["lr"] == 0.5


@pytest.mark.parametrize(
    ("make", "name", "value"),
    [
        (optim.Adam, "weight_decay", 0.1),
        (lambda **o: optim.SGD(0.1, **o), "momentum", 0.9),
        (lambda **o: optim.SGD(0.1, **{"momentum": 0.9, **o}), "momentum", 0.0),
        (lambda **o: optim.SGD(0.1, **o), "clip_norm", 0.1),
        (lambda **o: optim.Muon(0.1, **o), "weight_decay", 0.0),
        (optim.AdamW, "betas", (0.5, 0.9)),
    ],
)
def test_an_option_assigned_later_holds_from_the_next_step_on(make, name, value, tmp_path):
    """Before the first step it is as if the optimizer had been made with it; later its state stays, in a file too."""
    x, y = np.linspace(-1, 1, 12).reshape(6, 2), np.ones((6, 1))
    one, two = (lm.Sequential(lm.Dense(3, "tanh"), lm.Dense(1), seed=0).compile("mse", o) for o in (make(), make(**{name: value})))
    setattr(one.optimizer, name, value)
    assert one.optimizer.config() == two.optimizer.config()
    assert [one.train_step(x, y) for _ in range(3)] == [two.train_step(x, y) for _ in range(3)]
    net = lm.Sequential(lm.Dense(3, "tanh"), lm.Dense(1), seed=0).compile("mse", make())
    for _ in range(3):
        net.train_step(x, y)
    before = net.gradients(x, y)
    setattr(net.optimizer, name, value)
    net.train_step(x, y)
    assert net.optimizer.steps == 4 and before.keys() == net.gradients(x, y).keys()
    net.save(tmp_path / "net", optimizer=True)
    again = lm.load(tmp_path / "net")
    assert again.optimizer.config() == two.optimizer.config() and again.train_step(x, y) == net.train_step(x, y)


class OfOnesOwn(optim.Adam):
    def __init__(self, lr=0.1, *, tag="a", **options):
        super().__init__(lr, betas=(0.8, 0.9), **options)
        self.tag = tag


class OwnRule(optim.Optimizer):
    def __init__(self, lr=0.1, *, power=1.0, weight_decay=0.0):
        super().__init__(lr, weight_decay=weight_decay)
        self.power = power

    def update(self, w, g, slots, lr, step):
        return w - lr * lm.sign(g) * lm.abs(g) ** self.power, {}


@pytest.mark.parametrize(
    ("kind", "name", "value"), [(OfOnesOwn, "weight_decay", 0.5), (OwnRule, "power", 0.5), (OwnRule, "weight_decay", 0.5)]
)
def test_an_option_of_a_class_of_ones_own_holds_as_well(kind, name, value):
    """Also one of the class below, that its constructor passes on."""
    x, y = np.linspace(-1, 1, 12).reshape(6, 2), np.ones((6, 1))
    one, two, unchanged = (
        lm.Sequential(lm.Dense(1), seed=0).build(2).compile("mse", o) for o in (kind(), kind(**{name: value}), kind())
    )
    for net in (one, unchanged):
        net.train_step(x, y)
    setattr(one.optimizer, name, value)
    two.parameters.update(one.parameters)
    for net in (one, two, unchanged):
        net.train_step(x, y)
    assert one.predict(x).tolist() != unchanged.predict(x).tolist()
    if kind is OwnRule:  # which has no moments
        assert one.predict(x).tolist() == two.predict(x).tolist() and repr(one.optimizer) == repr(two.optimizer)


def test_an_option_that_stays_as_it_is_plans_no_step_anew():
    x, y = np.ones((2, 3)), np.ones((2, 1))
    for adam in (optim.Adam(), OfOnesOwn()):
        net = lm.Sequential(lm.Dense(1), seed=0).compile("mse", adam)
        net.train_step(x, y)
        planned = net._quick_step
        adam.weight_decay, adam.betas = 0.0, list(adam.betas)
        assert planned is not None and net._quick_step is planned
        adam.weight_decay = 0.1
        assert net._quick_step is None


def test_a_copy_has_the_options_and_begins_anew():
    adam = optim.Adam(0.1, weight_decay=0.2)
    net = lm.Sequential(lm.Dense(1), seed=0).compile("mse", adam)
    net.train_step(np.ones((2, 3)), np.ones(2))
    for other in (copy.deepcopy(adam), pickle.loads(pickle.dumps(adam))):
        assert other.config() == adam.config() and other.steps == 0 and adam.steps == 1
        lm.Sequential(lm.Dense(2), seed=0).compile("mse", other).train_step(np.ones((2, 3)), np.ones((2, 2)))


def test_the_state_is_written_and_not_replaced():
    optimizer = lm.optim.Adam()
    with pytest.raises(
        AttributeError, match=r"\[optim.Adam\] expected its state to stay, got another; write state\[name\].value ="
    ):
        optimizer.state = {}


def test_an_option_that_is_none_cannot_be_assigned():
    adam = optim.Adam()
    for name, remedy in (
        ("learning_rate", "did you mean 'lr'"),
        ("wieght_decay", "did you mean 'weight_decay'"),
        ("q", "it has amsgrad"),
    ):
        with pytest.raises(AttributeError, match=rf"\[optim.Adam\] expected one of its options, got '{name}'; {remedy}"):
            setattr(adam, name, 0.1)
    with pytest.raises(ValueError, match=r"\[optim.Adam\] expected weight_decay to be a number >= 0, got -1.0"):
        adam.weight_decay = -1.0
    assert repr(adam) == "Adam()"


def test_a_schedule_stands_where_a_rate_does():
    """`fit` writes rate(step) to the variable "lr" before each step."""
    optimizer = optim.Adam(schedules.Step(0.1, 2))
    problem = Problem(optimizer)
    reference = Reference(Case(None, "adam", 0.1, ADAM), problem.values)
    rates = optimizer.rate(np.arange(6))
    np.testing.assert_allclose(rates, [0.1, 0.1, 0.01, 0.01, 0.001, 0.001])
    for rate in rates:
        gradients = problem.random_gradients()
        optimizer.state["lr"].value = rate
        problem.step(gradients)
        reference.step(gradients, rate)
    close(problem.now, reference.values, 1e-12)
    assert isinstance(optimizer.lr, schedules.Step)


def test_rates():
    assert np.array_equal(optim.Adam(0.1).rate(np.arange(3)), [0.1] * 3)
    assert optim.Adam(0.1).lr == 0.1 and optim.Adam(lambda t: 1 / (1 + t)).rate([0, 1]).tolist() == [1, 0.5]


# ---- state -----------------------------------------------------------------------------------------------------------------------


def test_state_has_names_and_types():
    problem = Problem(optim.Adam(1e-3), "float32")
    state = problem.optimizer.state
    assert list(state)[:4] == ["lr", "clock", "dense_1.weight.exp_avg", "dense_1.weight.exp_avg_sq"]
    assert len(state) == 2 + 2 * len(SHAPES)
    assert state["lr"].dtype == state["clock"].dtype == "float64" and tuple(state["lr"].shape) == ()
    assert state["scale.exp_avg"].dtype == "float32" and not state["scale.exp_avg"].trainable
    assert state["lr"].value == 1e-3


def test_state_goes_on_in_another_program():
    """Binding again keeps what was learned: a second program for the same model continues."""
    problem = Problem(optim.Adam(0.01))
    problem.step(problem.random_gradients())
    kept = {name: p.value for name, p in problem.optimizer.state.items()}
    problem.optimizer.bind(problem.parameters)
    assert all(np.array_equal(kept[name], p.value) for name, p in problem.optimizer.state.items())


BY_BATCH = [name for name in optim.names() if not optim.get(name).all_data]
INSTEAD = {"sgd": lambda: optim.SGD(0.1, momentum=0.9, dampening=0.5), "adagrad": lambda: optim.Adagrad(0.1, lr_decay=0.3)}


class Counting(optim.Optimizer):
    """A rule of tensors that needs the number of the step."""

    slots = ("m",)

    def update(self, w, g, state, lr, t):
        return w - lr * g / t, {"m": g}


def two_apart():
    """Two layers whose gradients know nothing of each other, and their data."""
    x = lm.Input(3, dtype="float64")
    rng = np.random.default_rng(5)
    net = lm.Model(x, [lm.Dense(2)(x), lm.Dense(2)(x)], seed=0)
    return net, rng.normal(size=(8, 3)), [rng.normal(size=(8, 2)), rng.normal(size=(8, 2))]


@pytest.mark.parametrize("name", [*BY_BATCH, "counting"])
def test_a_parameters_steps_are_those_that_it_took_part_in(name, tmp_path):
    """As in PyTorch, where a parameter without a gradient has no step: thawed late it moves as in a net that begins then, after
    a rest as if there had been none, and what is saved meanwhile goes on like that."""
    make = INSTEAD.get(name, Counting if name == "counting" else lambda: optim.get(name))
    whole, x, y = two_apart()
    whole.compile("mse", make())
    first, second = [], []  # the weights of each layer after so many of its steps
    for _ in range(8):
        for layer, seen in zip(whole.layers, (first, second), strict=True):
            seen.append({local: p.value for local, p in layer.parameters.items()})
        whole.train_step(x, y)

    def check(net, steps):
        for layer, seen, count in zip(net.layers, (first, second), steps, strict=True):
            for local, p in layer.parameters.items():
                assert np.allclose(p.value, seen[count][local], rtol=1e-12, atol=1e-14)

    net, x, y = two_apart()
    net.compile("mse", make())
    steps, updates = [0, 0], 0
    for frozen, count in ((0, 2), (None, 1), (1, 1), (None, 2), (0, 1), (None, 1)):
        for i, layer in enumerate(net.layers):
            layer.trainable = i != frozen
        for _ in range(count):
            net.train_step(x, y)
        steps = [n + (count if i != frozen else 0) for i, n in enumerate(steps)]
        check(net, steps)
        updates += count
        assert net.optimizer.steps == updates  # which a schedule goes by
        if name != "counting":
            net.save(tmp_path / "net", optimizer=True)
            net = lm.load(tmp_path / "net")


def test_what_rests_for_no_step_shares_the_clock():
    net, x, y = two_apart()
    net.compile("mse", "adam").train_step(x, y)
    steps = len(net.profile(x, y, repeats=1).steps)
    net.layers[0].trainable = False
    net.profile(x, y, repeats=1)
    net.layers[0].trainable = True
    assert len(net.profile(x, y, repeats=1).steps) == steps
    assert list(net.optimizer.state)[:2] == ["lr", "clock"] and not any(n.startswith("clock.") for n in net.optimizer.state)


def test_without_a_state_of_its_own_no_weight_has_a_clock(tmp_path):
    net, x, y = two_apart()
    net.compile("mse", optim.SGD(0.1, momentum=0.9)).layers[0].trainable = False
    net.train_step(x, y)
    net.layers[0].trainable = True
    net.train_step(x, y)
    net.optimizer.momentum = 0.0
    net.save(tmp_path / "net", optimizer=True)
    assert list(lm.load(tmp_path / "net").optimizer.state) == ["lr", "clock"]


def test_what_is_shown_of_a_late_weight_is_its_first_step():
    net, x, y = two_apart()
    net.layers[0].trainable = False
    net.compile("mse", "adam").train_step(x, y)
    net.layers[0].trainable = True
    assert " t = 1\n" in net.explain(x, y, level="values")


def test_state_copied_over_gives_the_same_steps():
    a, b = Problem(optim.NAdam(0.01)), Problem(optim.NAdam(0.01))
    for _ in range(3):
        a.step(a.random_gradients())
    for p, q in zip(a.parameters, b.parameters, strict=True):
        q.value = p.value
    for name, p in a.optimizer.state.items():
        b.optimizer.state[name].value = p.value
    gradients = a.random_gradients()
    a.step(gradients)
    b.step(gradients)
    assert all(np.array_equal(a.now[name], b.now[name]) for name in SHAPES)


@pytest.mark.parametrize("rule", [lambda: optim.Adam(1e-2), lambda: optim.SGD(0.1, momentum=0.9)])
def test_layers_of_a_model_may_be_trained_in_turns_from_the_first_step_on(rule, rng):
    """None of them beside another: each goes on as with an optimizer of its own."""
    x, y = rng.normal(size=(8, 3)), rng.normal(size=(8, 1))
    net, alike = (lm.Sequential(lm.Dense(4, "tanh"), lm.Dense(1), seed=0, dtype="float64").build(3) for _ in range(2))
    net.compile("mse", rule())
    each = [lm.Model(alike.inputs[0], alike.outputs[0]).compile("mse", rule()) for _ in range(2)]
    for step in range(6):
        for layers in (net.layers, alike.layers):
            for k, layer in enumerate(layers):
                layer.trainable = k == step % 2
        assert net.train_step(x, y) == each[step % 2].train_step(x, y)
    assert all(np.array_equal(value, alike.parameters[name]) for name, value in net.parameters.items())
    assert net.optimizer.steps == 6 and [net.optimizer.steps_of(f"dense_{k}.bias") for k in (1, 2)] == [3, 3]


@pytest.mark.parametrize("make", [lambda: optim.SGD(0.1, momentum=0.9), optim.Adam, optim.LBFGS, optim.LevenbergMarquardt])
def test_an_optimizer_begins_anew_with_another_model_and_does_not_come_back(make, rng):
    def net(width=5):
        return lm.Sequential(lm.Dense(width, "tanh"), lm.Dense(1), seed=0, dtype="float64")

    x = rng.normal(size=(20, 3))
    optimizer, arguments = make(), (x, np.sin(x[:, :1]))
    first, second = net(), net()
    losses = [n.fit(*arguments, loss="mse", optimizer=optimizer, epochs=5, verbose=0)["loss"] for n in (first, second)]
    assert np.array_equal(*losses) and optimizer.steps == 5
    assert net(7).fit(*arguments, loss="mse", optimizer=optimizer, epochs=2, verbose=0)["loss"][-1] > 0
    remedy = re.escape(f"give the model its own by compile: net.compile(net.loss, {type(optimizer).__name__}(...))")
    for call in (lambda: second.fit(*arguments, epochs=1, verbose=0), lambda: second.train_step(*arguments)):
        with pytest.raises(ValueError, match=remedy):
            call()
    first.compile(first.loss, make()).fit(*arguments, epochs=1, verbose=0)


def test_a_state_of_another_shape_is_refused():
    optimizer, kept = optim.Adam(), lm.Parameter(np.zeros(3), name="b")
    optimizer.bind([kept, lm.Parameter(np.zeros((2, 3)), name="w")])
    with pytest.raises(ValueError, match=r"\[optim.Adam\] expected a parameter of shape \(2, 3\) for w.exp_avg, got \(4,\)"):
        optimizer.bind([kept, lm.Parameter(np.zeros(4), name="w")])


# ---- an optimizer of one's own ---------------------------------------------------------------------------------------------------


class OwnAdam(optim.Optimizer):
    """Adam as a user would write it."""

    slots = ("m", "v")

    def __init__(self, lr=1e-3, *, beta=0.9, **keywords):
        super().__init__(lr, **keywords)
        self.beta = beta

    def update(self, w, g, state, lr, t):
        m = self.beta * state["m"] + (1 - self.beta) * g
        v = 0.999 * state["v"] + 0.001 * g * g
        return w - lr / (1 - self.beta**t) * m / (lm.sqrt(v) / lm.sqrt(1 - 0.999**t) + 1e-8), {"m": m, "v": v}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_optimizer_of_ones_own(dtype):
    own = Problem(OwnAdam(0.02, beta=0.8, weight_decay=0.1, clip_norm=2.0), dtype)
    built_in = Problem(optim.Adam(0.02, betas=(0.8, 0.999), weight_decay=0.1, clip_norm=2.0), dtype)
    for _ in range(STEPS):
        gradients = own.random_gradients(dtype)
        own.step(gradients)
        built_in.step(gradients)
    close(own.now, built_in.now, TOLERANCE[dtype])
    assert own.optimizer.steps == STEPS and repr(own.optimizer) == "OwnAdam(0.02, beta=0.8, weight_decay=0.1, clip_norm=2.0)"


def test_an_own_update_must_return_its_slots():
    class Forgetful(optim.Optimizer):
        slots = ("m",)

        def update(self, w, g, state, lr, t):
            return w - lr * g, {}

    with pytest.raises(ValueError, match=r"\[optim.Forgetful\] expected new values of the slots \['m'\] from update, got \[\]"):
        Problem(Forgetful())


def test_an_own_update_has_the_slots_that_it_names():
    class Misspelt(optim.Optimizer):
        slots = ("m",)

        def update(self, w, g, state, lr, t):
            return w - lr * state["n"], {"m": g}

    net = lm.Sequential(lm.Dense(1)).compile("mse", Misspelt(0.1))
    with pytest.raises(KeyError, match=r"\[optim\] expected one of the slots \['m'\], got 'n'; name it in slots"):
        net.train_step([[1.0]], [[1.0]])


def test_an_own_update_must_return_parameter_and_slots():
    class Plain(optim.Optimizer):
        def update(self, w, g, state, lr, t):
            return w - lr * g

    with pytest.raises(TypeError, match=r"\[optim.Plain\] expected \(new parameter, new slots\) from update, got Tensor; return"):
        Problem(Plain())


# ---- by name, config, mistakes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", optim.names())
def test_by_name(name):
    assert type(optim.get(name)) is optim.OPTIMIZERS[name] and optim.get(name) is not optim.get(name)
    optimizer = optim.OPTIMIZERS[name]()
    assert optim.get(optimizer) is optimizer
    assert type(optim.get({"class": type(optimizer).__name__, "config": optimizer.config()})) is type(optimizer)


SCHEDULED = Case(lambda: optim.Adam(schedules.Cosine(0.1, 50, warmup=5)), "adam", 0.1)


@pytest.mark.parametrize("case", [*CASES, pytest.param(SCHEDULED, id="schedule")])
def test_config(case):
    from lamina.base.config import plain

    optimizer = case.optimizer()
    again = optim.get(json.loads(json.dumps(plain(optimizer))))
    assert plain(again) == plain(optimizer) and again.hyper() == optimizer.hyper()


MISTAKES = {
    "lr to be a number >= 0, got -1": lambda: optim.SGD(-1),
    "lr to be a number >= 0, got nan": lambda: optim.SGD(float("nan")),
    "lr to be a number >= 0, got '1e-3'": lambda: optim.SGD("1e-3"),
    "lr to be a number >= 0, got None": lambda: optim.SGD(None),
    "lr to be a number >= 0, got True": lambda: optim.SGD(True),
    "momentum to be a number >= 0, got -0.9": lambda: optim.SGD(momentum=-0.9),
    "momentum > 0 and dampening 0 with nesterov=True": lambda: optim.SGD(nesterov=True),
    "momentum > 0 and dampening 0 with nesterov=True, got momentum 0.9": lambda: optim.SGD(
        momentum=0.9, dampening=0.1, nesterov=True
    ),
    "nesterov to be True or False, got 1": lambda: optim.SGD(momentum=0.9, nesterov=1),
    "weight_decay to be a number >= 0, got -0.1": lambda: optim.Adam(weight_decay=-0.1),
    "clip_norm to be a number > 0, got 0": lambda: optim.Adam(clip_norm=0),
    "clip_value to be a number > 0, got -1": lambda: optim.Adam(clip_value=-1),
    "betas[1] to be a number in [0, 1), got 1.0": lambda: optim.Adam(betas=(0.9, 1.0)),
    "betas to be 2 numbers, got 0.9": lambda: optim.Adam(betas=0.9),
    "eps to be a number >= 0, got -1e-08": lambda: optim.Adam(eps=-1e-8),
    "eps_mode to be one of 'torch', 'keras', got 'tf'": lambda: optim.Adam(eps_mode="tf"),
    "alpha to be a number in [0, 1], got 2": lambda: optim.RMSProp(alpha=2),
    "rho to be a number in [0, 1], got -1": lambda: optim.Adadelta(rho=-1),
    "lr_decay to be a number >= 0, got -1": lambda: optim.Adagrad(lr_decay=-1),
    "etas (fall, rise) with fall < 1 < rise, got (1.2, 0.5)": lambda: optim.Rprop(etas=(1.2, 0.5)),
    "step_sizes (smallest, largest), got (2, 1)": lambda: optim.Rprop(step_sizes=(2, 1)),
    "momentum_decay to be a number >= 0, got -1": lambda: optim.NAdam(momentum_decay=-1),
    "one gradient for each of 1 parameters, got 0": lambda: optim.SGD().effects([lm.Parameter(np.zeros(2))], []),
    "a method update": lambda: Problem(optim.Optimizer()),
    "a name or an optimizer, got 3": lambda: optim.get(3),
}


@pytest.mark.parametrize("text", MISTAKES)
def test_mistake(text):
    with pytest.raises((ValueError, TypeError)) as caught:
        MISTAKES[text]()
    assert str(caught.value).startswith("[optim") and f"expected {text}" in str(caught.value)


def test_unknown_name():
    with pytest.raises(ValueError, match=r"\[optim\] unknown name 'adm'; did you mean 'adam'\? Known: adadelta, adagrad"):
        optim.get("adm")
    with pytest.raises(ValueError, match="did you mean 'lbfgs'"):
        optim.get("L-BFGS")


@pytest.mark.parametrize("n", [8, 128])  # one tile, and several
@pytest.mark.parametrize(
    ("loss", "gradient"),
    [
        (lambda w: lm.sum(w * lm.transpose(w)), lambda w: 2 * w.T),
        (lambda w: lm.sum((w - lm.transpose(w)) ** 2), lambda w: 4 * (w - w.T)),
        (lambda w: lm.sum(w * lm.stop_gradient(lm.transpose(w))), lambda w: w.T),
        (lambda w: lm.sum(w * lm.stop_gradient(lm.broadcast_to(w[0:1], w.shape))), lambda w: np.broadcast_to(w[0:1], w.shape)),
        (lambda w: lm.sum(w * lm.stop_gradient(w[::-1])), lambda w: w[::-1]),
        (lambda w: lm.sum(w * lm.stop_gradient(w @ np.full(w.shape, 0.01, "float32"))), lambda w: w @ np.full_like(w, 0.01)),
        (lambda w: lm.sum(w * lm.stop_gradient(w[:, 3:4] @ w[1:2])), lambda w: w[:, 3:4] @ w[1:2]),
    ],
)
def test_a_gradient_that_reads_its_own_parameter_elsewhere_sees_the_values_from_before(n, loss, gradient):
    before = np.random.default_rng(0).standard_normal((n, n)).astype("float32")
    w = lm.Parameter(before.copy(), name="w")
    optimizer = lm.optim.SGD(0.1)
    optimizer.bind([w])
    value = loss(w)
    effects = optimizer.effects([w], [lm.grad(value, w)])
    lm._core.Program([], [value.node], [e.node for e in effects], True).run([])
    np.testing.assert_allclose(w.value, before - 0.1 * gradient(before), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("width", [3, 40], ids=["fewer than a vector", "whole vectors"])
@pytest.mark.parametrize("name", BY_BATCH)
def test_the_step_of_one_sample_is_that_of_two_like_it(name, width, count, rng, threads):
    """The gradient of one is of rank one; updates that take it as such never have it written out."""
    threads(count)
    x, y = rng.normal(size=(1, 21)), rng.normal(size=(1, width))
    after = []
    for copies in (1, 2):
        net = lm.Sequential(lm.Dense(70, "tanh"), lm.Dense(width), seed=0, dtype="float64").build(21)
        net.compile("mse", optim.get(name))
        for _ in range(3):
            net.train_step(x.repeat(copies, 0), y.repeat(copies, 0))
        after.append(net.parameters)
    close(after[0], after[1], 1e-9)


@pytest.mark.parametrize("count", [1, 2])
def test_what_is_left_of_a_gradient_that_has_ended_is_not_subnormal(threads, count):
    """Moments would decay below 1.2e-38, where numbers are exact but slow, and where rounding would keep them for ever."""
    threads(count)
    net = lm.Sequential(lm.Dense(512, "relu"), lm.Dense(8), seed=0)
    net.compile(loss="mse", optimizer=optim.Adam(1e-3, betas=(0.8, 0.8)))
    x, y = np.ones((64, 256), "float32"), np.ones((64, 8), "float32")
    net.train_step(x, y)
    moments = [net.optimizer.state[f"dense_1.weight.{slot}"] for slot in ("exp_avg", "exp_avg_sq")]
    assert all(m.value.any() for m in moments)
    for _ in range(450):  # .8^450 = 2e-44
        net.train_step(0 * x, y)
    for m in moments:  # zero; without fused multiply-adds they stop before
        assert not ((m.value != 0) & (np.abs(m.value) < np.finfo("float32").tiny)).any() and np.abs(m.value).max() < 1e-37
    assert np.float32(1e-38) / np.float32(10) > 0, "what follows a step has its subnormal numbers"


def test_muons_decay_reads_as_it_was_given():
    muon = lm.optim.Muon(weight_decay=0.4)
    muon.weight_decay *= 0.5
    assert (muon.weight_decay, muon.config()["weight_decay"]) == (0.2, 0.2)


def test_muon_without_a_gradient_and_without_eps_stays(rng):
    net = lm.Sequential(lm.Dense(2), seed=0).compile("mse", lm.optim.Muon(0.1, eps=0, weight_decay=0.0))
    x = rng.normal(size=(4, 3))
    before = net.build(3).parameters["dense_1.weight"]
    net.train_step(x, net.predict(x))
    assert np.array_equal(net.parameters["dense_1.weight"], before)


def test_a_look_before_the_first_step_does_not_hold_the_first_step_size(rng):
    """Rprop's sizes begin at the rate; one that is assigned before the first step counts, whatever has made room for them."""
    x, y = rng.normal(size=(8, 3)), rng.normal(size=(8, 2))
    losses = []
    for look in (lambda net: None, lambda net: net.trace(x, y), lambda net: net.profile(x, y)):
        net = lm.Sequential(lm.Dense(2), seed=0).build(3).compile("mse", optim.Rprop(0.01))
        look(net)
        net.optimizer.lr = 0.1
        losses.append(net.fit(x, y, epochs=3, verbose=0)["loss"])
        net.optimizer.lr = 0.2  # from here on sizes go their own way
        losses[-1] = [*losses[-1], net.train_step(x, y), net.train_step(x, y)]
    assert losses[0] == losses[1] == losses[2]
    assert np.ptp(losses[0]) > 0


def test_a_rule_of_the_core_under_a_class_of_ones_own():
    class Plain(optim.Optimizer):
        rule = "sgd_plain"

        def __init__(self, lr, key):
            super().__init__(lr)
            self.key = key

        def hyper(self):
            return {self.key: 0.0}

        def update(self, something=None):
            """Never asked, as the rule is the core's."""

    x, y = np.ones((4, 2)), np.ones((4, 1))
    nets = [lm.Sequential(lm.Dense(1), seed=0).build(2).compile("mse", o) for o in (Plain(0.1, "weight_decay"), optim.SGD(0.1))]
    assert nets[0].train_step(x, y) == nets[1].train_step(x, y) and nets[0].train_step(x, y) == nets[1].train_step(x, y)
    with pytest.raises(ValueError, match=r"of the rule .sgd_plain. from hyper\(\), weight_decay, got wd"):
        lm.Sequential(lm.Dense(1), seed=0).compile("mse", Plain(0.1, "wd")).train_step(x, y)


def test_a_rate_that_is_refused_changes_nothing():
    net = lm.Sequential(lm.Dense(1), seed=0).compile("mse", lm.optim.SGD(0.1))
    x, y = np.ones((2, 2)), np.zeros((2, 1))
    net.train_step(x, y)
    for wrong in (lambda t: 0 * t - 1.0, -1.0, "fast", lm.optim.SGD, lambda a, b: 0.1, net, net.parameters):
        with pytest.raises((ValueError, TypeError), match=r"^\[(schedules|optim.SGD)\] expected .*, got"):
            net.optimizer.lr = wrong
        assert net.optimizer.lr == 0.1
    net.train_step(x, y)


@pytest.mark.parametrize(
    "make", [lambda: lm.Sequential(lm.Dense(1)), lambda: lm.Dense(1), lambda: lm.Sequential(lm.Dense(1)).build(2).parameters]
)
def test_parameters_are_no_rate(make):
    """As PyTorch's optimizers take them."""
    with pytest.raises(TypeError, match="gets its parameters from the network that is compiled with it"):
        lm.optim.Adam(make())


def test_an_optimizer_of_ones_own_checks_what_every_one_has():
    class Plain(lm.optim.Optimizer):
        def update(self, w, g, state, lr, t):
            return w - lr * g, {}

    plain = Plain(0.1)
    for name, wrong in (("clip_norm", -1.0), ("clip_value", 0.0), ("weight_decay", "x"), ("weight_decay", -1)):
        with pytest.raises((ValueError, TypeError), match=rf"\[optim.Plain\] expected {name}"):
            setattr(plain, name, wrong)
    plain.clip_norm = 2
    assert (plain.clip_norm, plain.clip_value, plain.weight_decay) == (2, None, 0)
