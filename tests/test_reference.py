"""The evaluator has an entry for all that the core knows, and agrees with it on whole networks."""

from __future__ import annotations

import numpy as np
import pytest

import lamina as lm
import reference
from lamina import _core as core
from reference_activations import ACTIVATIONS
from reference_rules import RULES


def test_every_op_has_an_oracle():
    missing = set(core.op_names()) - set(reference.TABLE) - reference.FED - {"host"}
    assert not missing, f"tests/reference.py lacks {sorted(missing)}"


def test_every_activation_has_an_oracle():
    names = set(core.activation_names())
    assert names == set(ACTIVATIONS)
    assert {f"{n}_backward" for n in names} <= set(reference.TABLE)


def test_every_rule_has_an_oracle():
    assert set(core.rule_names()) == set(RULES)
    for name, rule in RULES.items():
        slots, hypers = core.rule_info(name)
        assert (tuple(slots), tuple(hypers)) == (rule.slots, rule.hypers)


def test_the_backward_of_an_activation_keeps_what_the_oracle_can_use():
    for name in core.activation_names():
        assert reference.keeps_input(name) or ACTIVATIONS[name].slope_of_output is not None


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_slope_of_output_agrees_with_slope(name):
    entry = ACTIVATIONS[name]
    x = np.linspace(-8, 8, 1601) + 1e-4
    if entry.slope_of_output is not None:
        np.testing.assert_allclose(
            entry.slope_of_output(entry.value(x, *entry.params), *entry.params), entry.slope(x, *entry.params), atol=1e-12
        )


def networks():
    x = lm.placeholder(("B", 9), "float64", name="x")
    label = lm.placeholder(("B",), "int64", name="label")
    w, b = lm.Parameter(np.cos(np.arange(54.0)).reshape(9, 6)), lm.Parameter(np.sin(np.arange(6.0)))
    w64, b64 = (lm.Parameter(p.value.astype(np.float64), dtype="float64") for p in (w, b))
    for name in core.activation_names():
        z = lm.activation(name, x @ w64 + b64)
        loss = -lm.mean(lm.sum(lm.log_softmax(z) * lm.one_hot(label, 6, dtype="float64"), axis=-1))
        yield name, [x, label], [loss, z, *lm.grad(loss, [w64, b64, x])]
    table = lm.Parameter(np.sin(np.arange(12.0)).reshape(6, 2), dtype="float64")
    y = lm.take(table, label)
    pooled = lm.concatenate([lm.max(y, axis=1, keepdims=True), y[:, ::-1], lm.pad(y, ((0, 0), (1, 2)))], axis=1)
    loss = lm.sum(lm.std(pooled, axis=0) ** 2) / lm.size(x)
    yield "shapes", [x, label], [loss, pooled, *lm.grad(loss, [table])]


@pytest.mark.parametrize("case", list(networks()), ids=lambda c: c[0])
@pytest.mark.parametrize("batch", [1, 8, 33])
def test_networks_agree_with_the_evaluator(case, batch, rng):
    _, inputs, outputs = case
    arrays = [rng.normal(size=(batch, 9)), rng.integers(0, 6, batch)]
    got = lm.function(inputs, outputs)(*arrays)
    for tensor, value in zip(outputs, got, strict=True):
        want = reference.evaluate_tensor(tensor, {"x": arrays[0], "label": arrays[1]})
        np.testing.assert_allclose(value, want, rtol=1e-11, atol=1e-12)


# ---- optimizer rules, at the level of the core ----------------------------------------------------------------------------------

HYPERS = {
    "sgd": [[0.9, 0, 0, 0], [0.9, 0.3, 0, 0.01], [0.8, 0, 1, 0.01], [0, 0, 0, 0]],
    "sgd_plain": [[0], [0.1]],
    "adam": [
        [0.9, 0.999, 1e-8, 0, 0, 0],
        [0.8, 0.99, 1e-6, 0.01, 0, 0],
        [0.9, 0.999, 1e-8, 0.1, 1, 0],
        [0.9, 0.999, 1e-7, 0, 0, 1],
    ],
    "adam_amsgrad": [[0.9, 0.999, 1e-8, 0, 0, 0], [0.8, 0.9, 1e-6, 0.1, 1, 0]],
    "rmsprop": [[0.99, 1e-8, 0], [0.9, 1e-6, 0.1]],
    "rmsprop_full": [[0.99, 1e-8, 0, 0.9, 0], [0.9, 1e-6, 0.1, 0.5, 1], [0.9, 1e-6, 0, 0, 1]],
    "adagrad": [[1e-10, 0, 0], [1e-8, 0.1, 0.2]],
    "adadelta": [[0.9, 1e-6, 0], [0.8, 1e-5, 0.1]],
    "adamax": [[0.9, 0.999, 1e-8, 0], [0.8, 0.9, 1e-6, 0.1]],
    "nadam": [[0.9, 0.999, 1e-8, 0, 0.004], [0.8, 0.99, 1e-6, 0.1, 0.01]],
    "radam": [[0.9, 0.999, 1e-8, 0], [0.8, 0.9, 1e-6, 0.1]],
    "rprop": [[0.5, 1.2, 1e-6, 50], [0.4, 1.3, 1e-3, 0.05]],
    "lion": [[0.9, 0.99, 0], [0.8, 0.9, 0.1]],
}


def test_every_rule_has_hypers_to_try():
    assert set(HYPERS) == set(core.rule_names())
    for name, several in HYPERS.items():
        assert all(len(h) == len(RULES[name].hypers) for h in several)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "hyper"), [(n, h) for n in HYPERS for h in HYPERS[n]], ids=str)
def test_rule_follows_its_formula(name, hyper, dtype, rng):
    """25 steps of random gradients on sizes around the vector width; the clock and the slots are the core's own."""
    rule, lr = RULES[name], 0.05
    names = dict(zip(rule.hypers, map(float, hyper), strict=True))
    for size in (1, 7, 8, 9, 33, 1000):
        start = {slot: np.full(size, rule.initial[slot](lr) if slot in rule.initial else 0.0) for slot in rule.slots}
        w = rng.normal(size=size).astype(dtype)
        parameter = lm.Parameter(w, dtype=dtype)
        slots = [lm.Parameter(start[slot].astype(dtype), dtype=dtype, trainable=False) for slot in rule.slots]
        rate = lm.Parameter(np.asarray(lr), dtype="float64", trainable=False)
        clock = lm.Parameter(np.zeros(4), dtype="float64", trainable=False)
        gradient = lm.placeholder((size,), dtype)
        constants = core.make("rule_constants", [rate.node, clock.node], {"rule": name, "hyper": names_to_list(rule, names)})
        update = core.make("rule_update", [parameter.node, gradient.node, constants, *(s.node for s in slots)], {"rule": name})
        program = core.Program([gradient.node], [], [update], True)

        want, state, shared = w.astype(np.float64), start, {}
        for t in range(1, 26):
            g = rng.normal(size=size).astype(dtype)
            program.run([g])
            want = rule.step(want, g.astype(np.float64), state, lr, t, names, shared)
        # a sign or a step size that turns on a rounding error would show as a jump; random gradients are far from ties
        tolerance = 2e-5 if dtype == "float32" else 1e-12
        np.testing.assert_allclose(parameter.value, want, rtol=tolerance, atol=tolerance)
        for slot, parameter_of_slot in zip(rule.slots, slots, strict=True):
            np.testing.assert_allclose(parameter_of_slot.value, state[slot], rtol=tolerance, atol=tolerance, err_msg=slot)


def names_to_list(rule, names: dict[str, float]) -> list[float]:
    return [names[h] for h in rule.hypers]
