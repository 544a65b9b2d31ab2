"""net.profile: every step of the program with its time and bound, adding up to the whole; nothing changes. No time is tested."""

from __future__ import annotations

import io
import json
import math
import subprocess
import sys

import numpy as np
import pytest

import lamina as lm
from lamina.report.profile import _alternate, _step
from lamina.trace.run import state_of

BOUNDS = {"compute", "bandwidth", "overhead"}


def digits(rows=32):
    X, y = lm.datasets.digits()
    return X[:rows], y[:rows]


def network(**kwargs):
    """Dropout, running statistics, a momentum and a schedule: every kind of state there is."""
    net = lm.Sequential(
        lm.Dense(16, "relu"), lm.BatchNorm(), lm.Dropout(0.5), lm.Dense(10), seed=3, dtype=kwargs.pop("dtype", "float32")
    )
    return net.compile("cross_entropy", lm.optim.Adam(lm.schedules.Cosine(1e-2, 100)))


@pytest.fixture(scope="module")
def profile():
    X, y = digits()
    net = lm.Sequential(lm.Dense(32, "relu"), lm.Dense(10), seed=0).compile("cross_entropy", "adam")
    return net.profile(X, y, repeats=3)


def test_what_a_step_is_bound_by():
    for seconds, bound in ((2.0, "compute"), (4.0, "overhead")):  # work for one second
        row = {"name": "matmul", "seconds": seconds, "flops": 1e9, "bytes": 0, "units": 1}
        assert _step(row, 1e9, 10.0).bound == bound


def test_a_step_has_the_best_of_its_times():
    times = iter([5.0, 3.0, 4.0])

    class Program:
        def profile(self, arrays, rounds):
            return [{"seconds": next(times)}]

        def run(self, arrays):
            pass

    assert _alternate(Program(), [], 2)[0] == [{"seconds": 3.0}]


def test_the_steps_add_up_to_the_whole(profile):
    assert math.isclose(sum(step.share for step in profile.steps), 1.0, rel_tol=1e-12)
    assert math.isclose(sum(step.seconds for step in profile.steps), profile.seconds, rel_tol=1e-12)
    assert math.isclose(sum(profile.share(bound) for bound in BOUNDS), 1.0, rel_tol=1e-12)
    assert {step.bound for step in profile.steps} <= BOUNDS
    with pytest.raises(ValueError, match=r"\[profile\] expected bound to be one of 'compute', .* got 'memory'; pass one"):
        profile.share("memory")
    assert all(step.seconds >= 0 and step.units >= 1 for step in profile.steps)


def test_it_shows_the_program_that_runs():
    X, y = digits()
    net = lm.Sequential(lm.Dense(32, "relu"), lm.Dense(10), seed=0).compile("cross_entropy", "adam")
    net.train_step(X, y)
    (program,) = net.programs.trained.programs.values()
    before = program.steps
    profile = net.profile(X, y, repeats=2)
    assert [step.name for step in profile.steps] == [*before, "call"]
    assert list(net.programs.trained.programs.values()) == [program], "profile made a program of its own"


def test_the_products_have_their_flops(profile):
    """Forward, weight gradient, and the input gradient of all layers but the first: the floor that benchmarks/ prints."""
    products = [step for step in profile.steps if "matmul" in step.name]
    assert sum(step.flops for step in products) == 6 * 32 * (64 * 32 + 32 * 10) - 2 * 32 * 64 * 32
    assert all(step.bytes > 0 for step in products)


def test_a_profile_changes_nothing():
    X, y = digits()
    net, twin = network(), network()
    for model in (net, twin):
        model.fit(X, y, epochs=2, batch_size=16, verbose=0)
    before = [np.array(p.value) for p in state_of(net)]
    net.profile(X, y, repeats=3)
    net.profile(X, y, np.linspace(0.5, 1, len(X)), repeats=1)
    net.profile(X, repeats=3)
    for parameter, value in zip(state_of(net), before, strict=True):
        assert np.array_equal(parameter.value, value), parameter.name
    assert [net.train_step(X, y) for _ in range(3)] == [twin.train_step(X, y) for _ in range(3)]
    assert net.fit(X, y, epochs=1, verbose=0).history["loss"] == twin.fit(X, y, epochs=1, verbose=0).history["loss"]


def test_a_first_profile_leaves_an_untrained_network():
    X, y = digits()
    net, twin = network(), network()
    net.profile(X, y, repeats=1)
    assert net.train_step(X, y) == twin.train_step(X, y)


def test_without_targets_it_is_a_prediction():
    X, _ = digits(5)
    net = lm.Sequential(lm.Dense(8, "tanh"), lm.Dense(3), seed=0)
    profile = net.profile(X, repeats=2)
    assert profile.about["program"] == "predict"
    assert profile.about["batch"] == 5
    assert not any("rule_update" in step.name for step in profile.steps)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_says_what_was_measured(dtype, threads):
    threads(1)
    X, y = digits(8)
    made = network(dtype=dtype).profile(X, y, repeats=2)
    about = made.about
    assert made.ceiling > 1e8 and made.bandwidth > 1e8
    assert about["dtype"] == dtype
    assert (about["threads"], about["isa"], about["rounds"], about["batch"]) == (1, lm.isa(), 2, 8)


def test_the_table(profile):
    lines = str(profile).splitlines()
    assert str(profile).isascii() and repr(profile) == str(profile)
    assert "; the rows are longer by their timing)" in lines[2]
    assert lines[0].startswith("MLP 64-32-10: train_step, batch 32, float32,")
    assert len(lines) == 3 + 1 + 1 + len(profile.steps) + 1
    assert lines[-1].split()[0] == "whole"
    assert lines[-1].split()[-1] == f"{100 * profile.flops / profile.seconds / profile.ceiling:.0f}"
    assert max(map(len, lines)) <= 132


def test_as_plain_numbers_and_as_html(profile):
    back = json.loads(json.dumps(profile.to_dict()))
    assert back["batch"] == 32
    assert [step["name"] for step in back["steps"]] == [step.name for step in profile.steps]
    assert math.isclose(sum(step["seconds"] for step in back["steps"]), back["seconds"])
    page = profile._repr_html_()
    assert page.count("<tr>") == len(profile.steps) + 2
    assert "matmul+<wbr>add" in page  # a long name wraps, so that the figures stay in sight


def test_mistakes():
    X, y = digits(4)
    net = network()
    with pytest.raises(ValueError, match=r"\[profile\] expected repeats >= 1, got 0"):
        net.profile(X, y, repeats=0)
    with pytest.raises(ValueError, match=r"\[Sequential\] expected a loss and an optimizer, got none"):
        lm.Sequential(lm.Dense(3), seed=0).profile(X, y)


# ---- lamina profile ----


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "lamina", "profile", *map(str, arguments)], capture_output=True, text=True, timeout=120
    )


@pytest.fixture
def stored(tmp_path):
    X, y = digits()
    net = lm.Sequential(lm.Dense(8, "relu"), lm.Dense(10), seed=0).compile("cross_entropy", "adam")
    net.fit(X, y, epochs=1, verbose=0)
    net.save(tmp_path / "net.safetensors")
    np.savez(tmp_path / "data.npz", x=X, y=y)
    return tmp_path


def test_the_command(stored):
    done = command(stored / "net.safetensors", stored / "data.npz", "--batch", 16, "--repeats", 2, "--threads", 1)
    assert done.returncode == 0, done.stderr
    assert "train_step, batch 16, float32, 1 thread" in done.stdout
    assert "matmul+rule_update" in done.stdout
    as_json = command(stored / "net.safetensors", stored / "data.npz", "--json", "--repeats", 1)
    assert json.load(io.StringIO(as_json.stdout))["batch"] == 32


def test_the_command_says_what_is_wrong(stored):
    np.savez(stored / "other.npz", a=np.ones(3))
    np.save(stored / "array.npy", np.ones(3))
    np.savez(stored / "objects.npz", x=np.array([None]))
    (stored / "empty.npz").touch()
    (stored / "cut.npz").write_bytes((stored / "data.npz").read_bytes()[:500])
    said = {"other.npz": "expected arrays x and y", "array.npy": "npz", "none.npz": "none.npz] expected a file that can be read"}
    said |= dict.fromkeys(["objects.npz", "empty.npz", "cut.npz", "net.safetensors"], "[profile] expected arrays of numbers in")
    for data, words in said.items():
        done = command(stored / "net.safetensors", stored / data)
        assert done.returncode == 2
        assert words in done.stderr
        assert "Traceback" not in done.stderr
        assert "pickle" not in done.stderr
