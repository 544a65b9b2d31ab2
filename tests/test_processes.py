"""Processes and threads: forks, pools, one network in several threads, quotas, idleness, the end of the interpreter."""

from __future__ import annotations

import concurrent.futures
import copy
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import lamina as lm
from lamina import _core as core

X = np.random.default_rng(0).normal(size=(200, 64)).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 10, 200)


def net() -> lm.Sequential:
    """Wide enough that its products go to several threads."""
    made = lm.Sequential(lm.Dense(256, "relu"), lm.Dense(256, "relu"), lm.Dense(10), seed=0)
    return made.compile("cross_entropy", "adam").build(64)


def trained(model: lm.Model) -> np.ndarray:
    """What it predicts after some training; the same bits wherever it runs."""
    model.fit(X, Y, epochs=2, verbose=0)
    return model.predict(X[:20])


def predicted(model: lm.Model, x: np.ndarray) -> np.ndarray:
    return model.predict(x)


# ---- processes -------------------------------------------------------------------------------------------------------------------


def test_after_a_fork_parent_and_child_train_and_predict(threads):
    threads(2)
    model = net()
    before = copy.deepcopy(model)
    trained(copy.deepcopy(model))  # the pool has its threads
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(send, trained(model).tobytes())
        os._exit(0)
    here = trained(model)
    data = b""
    while len(data) < here.nbytes:
        data += os.read(receive, here.nbytes)
    assert os.waitpid(child, 0)[1] == 0
    assert data == here.tobytes() == trained(before).tobytes()


def test_a_fork_in_the_middle_of_another_threads_training(threads):
    """The child has the network as it was between two steps, and neither waits for a lock of a thread that it does not have."""
    threads(2)
    model, done = net(), threading.Event()

    def train():
        while not done.is_set():
            model.fit(X, Y, epochs=1, verbose=0)

    thread = threading.Thread(target=train)
    thread.start()
    try:
        for _ in range(10):
            child = os.fork()
            if child == 0:
                signal.alarm(60)
                values = [*model.parameters.values(), model.predict(X[:5])]
                model.train_step(X[:5], Y[:5])
                os._exit(0 if all(np.isfinite(value).all() for value in values) else 1)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("how", ["fork", "spawn", "forkserver"])
def test_process_pools(how):
    model = net()
    expected = trained(copy.deepcopy(model))
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(how)) as pool:
        for result in pool.map(trained, [model, model]):
            assert np.array_equal(result, expected)


def test_multiprocessing_pool_and_shared_memory_of_a_fork():
    model = net()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        parts = pool.starmap(predicted, [(model, X[:100]), (model, X[100:])])
    assert np.array_equal(np.concatenate(parts), model.predict(X))


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_joblib(backend):
    joblib = pytest.importorskip("joblib", reason="joblib is not installed: it comes with scikit-learn")
    model = net()
    parts = joblib.Parallel(n_jobs=2, backend=backend)(joblib.delayed(predicted)(model, part) for part in np.split(X, 4))
    assert np.array_equal(np.concatenate(parts), model.predict(X))


def test_copies_and_pickles_are_apart(threads):
    model = net()
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert np.array_equal(trained(other), trained(copy.deepcopy(model)))
    assert model.epochs_done == 0


# ---- threads ---------------------------------------------------------------------------------------------------------------------


def in_threads(count: int, work) -> list:
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return [future.result(timeout=120) for future in [pool.submit(work, i) for i in range(count)]]


def test_threads_that_predict_with_one_net_get_the_right_bits():
    """Of batches of different sizes, which rebind the program each time."""
    model = net()
    parts = [X[i : i + 1 + 7 * (i % 5)] for i in range(60)]
    expected = [net().predict(part) for part in parts]

    def work(first):
        return all(np.array_equal(model.predict(parts[i % 60]), expected[i % 60]) for i in range(first, first + 200))

    assert all(in_threads(6, work))


def test_threads_that_come_first_build_one_network():
    for _ in range(20):
        model = lm.Sequential(lm.Dense(8, "relu"), lm.Dense(3), seed=0).compile("cross_entropy", "adam")
        barrier = threading.Barrier(4)

        def work(i, model=model, barrier=barrier):
            barrier.wait()
            return model.train_step(X[:10], Y[:10] % 3) if i % 2 else model.predict(X[:10])

        in_threads(4, work)
        assert len(model.parameters) == 4 and model.optimizer.steps == 2
        other = lm.Sequential(lm.Dense(8, "relu"), lm.Dense(3), seed=0).compile("cross_entropy", "adam")
        for _ in range(2):
            other.train_step(X[:10], Y[:10] % 3)
        assert np.array_equal(model.predict(X), other.predict(X))


class PlusOne(lm.optim.Optimizer):
    """Every weight a whole number: the count of steps, and one. So each step is seen in each weight."""

    def update(self, w, g, state, lr, t):
        return w + 1.0 + 0.0 * g, {}


def counting() -> lm.Sequential:
    model = lm.Sequential(*(lm.Dense(64, bias=False) for _ in range(4)), seed=0, dtype="float64").build(64)
    model.parameters.update({name: np.ones((64, 64)) for name in model.parameters})
    return model.compile("mse", PlusOne(1.0))


def step_of(prediction: np.ndarray) -> float:
    """The weights' value k that gave (64 k)^4 for a row of ones; not whole where weights of several steps are mixed."""
    assert (prediction == prediction[0, 0]).all()
    return float(prediction[0, 0] ** 0.25 / 64)


def test_a_prediction_during_a_fit_sees_one_steps_weights():
    model = counting()
    x, target = np.ones((256, 64)), np.ones((256, 64))
    thread = threading.Thread(target=lambda: model.fit(x, target, epochs=60, batch_size=8, verbose=0))
    seen = []
    thread.start()
    while thread.is_alive():
        seen.append(step_of(model.predict(x[:3])))
    thread.join()
    steps = np.rint(seen)
    np.testing.assert_allclose(seen, steps, rtol=1e-12)
    assert (np.diff(steps) >= 0).all() and len(set(steps)) > 5  # in order, and the fit did not keep the others out
    assert step_of(model.predict(x[:3])) == 60 * 32 + 1 == model.optimizer.steps + 1


@pytest.mark.filterwarnings("ignore:.*the file has no optimizer")
def test_what_is_read_saved_or_written_during_a_fit_is_whole(tmp_path):
    model = counting()
    x = np.ones((256, 64))
    thread = threading.Thread(target=lambda: model.fit(x, x, epochs=60, batch_size=8, verbose=0))
    thread.start()
    while thread.is_alive():
        model.save(tmp_path / "net", optimizer=True)
        loaded = lm.load(tmp_path / "net").parameters
        assert len({value for array in loaded.values() for value in np.unique(array)}) == 1
        weight = model.parameters["dense_2.weight"]
        assert (weight == weight[0, 0]).all()
        gradients = model.gradients(x[:8], x[:8])
        assert all((array == array[0, 0]).all() for array in gradients.values())
        model.parameters.update({name: np.ones((64, 64)) for name in model.parameters})
        step_of(model.predict(x[:2]))
    thread.join()
    assert model.optimizer.steps == 60 * 32


def test_two_fits_of_one_net_at_once_do_all_their_steps():
    model = counting()
    x = np.ones((256, 64))
    in_threads(2, lambda i: model.fit(x[: 200 + 50 * i], x[: 200 + 50 * i], epochs=10, batch_size=16, verbose=0))
    assert step_of(model.predict(x[:2])) == model.optimizer.steps + 1 == 10 * (13 + 16) + 1


@pytest.mark.parametrize("what", ["freeze", "compile"])
def test_what_a_thread_changes_after_a_step_of_another_holds_from_the_next_one_on(what, monkeypatch):
    """Just as the program of that step becomes the one for all further batches like it."""
    from lamina.models import quick

    x, y = np.ones((4, 3), np.float32), np.zeros((4, 1), np.float32)
    net = lm.Sequential(lm.Dense(2), lm.Dense(1), seed=0).build(3).compile("mse", "sgd")
    change = (lambda: setattr(net.layers[0], "trainable", False)) if what == "freeze" else lambda: net.compile("mae", "sgd")
    thread, make = threading.Thread(target=change), quick.QuickStep

    def meanwhile(*parts):
        if thread.ident is None:
            thread.start()
            thread.join(0.3)
        return make(*parts)

    monkeypatch.setattr(quick, "QuickStep", meanwhile)
    net.train_step(x, y)
    thread.join()
    before, want = net.parameters["dense_1.weight"], net.evaluate(x, y)["loss"]
    assert net.train_step(x, y) == pytest.approx(want)
    assert np.array_equal(net.parameters["dense_1.weight"], before) == (what == "freeze")


def test_nets_that_share_layers_take_turns():
    x = lm.Input(64)
    shared = lm.Dense(64, bias=False)
    one, two = lm.Model(x, shared(x), seed=0), lm.Model(x, shared(shared(x)), seed=0)
    shared.parameters["weight"].value = np.ones((64, 64))
    one.compile("mse", PlusOne(1.0))
    ones = np.ones((256, 64), np.float32)
    thread = threading.Thread(target=lambda: one.fit(ones, ones, epochs=40, batch_size=8, verbose=0))
    thread.start()
    while thread.is_alive():
        k = np.sqrt(two.predict(ones[:2]).astype(np.float64)) / 64
        np.testing.assert_allclose(k, np.rint(k), rtol=1e-6)
    thread.join()


def test_threads_that_wait_while_variables_become_one_group_all_get_their_turn():
    a, b = lm.Parameter(np.ones(2)).variable, lm.Parameter(np.ones(2)).variable
    read = []
    waiting = [threading.Thread(target=lambda: read.append(core.read([a])), daemon=True) for _ in range(4)]
    with core.Section([b]):
        with core.Section([a]):
            for thread in waiting:
                thread.start()
            time.sleep(0.1)  # until they sleep
            core.read([b, a])
        assert not read
    for thread in waiting:
        thread.join(10)
    assert len(read) == 4


def test_a_turn_stays_while_other_variables_join_its_group():
    a, b = lm.Parameter(np.ones(2)).variable, lm.Parameter(np.ones(2)).variable
    read = []
    with core.Section([a]):
        core.read([b, a])
        thread = threading.Thread(target=lambda: read.append(core.read([a])), daemon=True)
        thread.start()
        thread.join(0.2)
        assert not read
    thread.join(10)
    assert len(read) == 1


@pytest.mark.parametrize("turned", [False, True])
def test_an_outer_turn_outlasts_the_inner_one_that_it_was_joined_to(turned):
    """The group was free when the inner section ended, though the outer one went on."""
    a, b = lm.Parameter(np.ones(2)).variable, lm.Parameter(np.ones(2)).variable
    read = []
    thread = threading.Thread(target=lambda: read.append(core.read([b])), daemon=True)
    with core.Section([b]):
        with core.Section([a]):
            core.read([a, b] if turned else [b, a])
        thread.start()
        thread.join(0.2)
        assert not read
    thread.join(10)
    assert len(read) == 1


def test_what_constants_alone_make_is_made_once():
    """However often the number of rows changes; what depends on that number is made anew."""
    from lamina.graph.lift import constant
    from lamina.linalg import host

    x, calls, rule = lm.placeholder((None, 2), "float64"), [], host.RULES["pinv"]
    rows = lm.size(x, axis=0)
    try:
        host.RULES["pinv"] = rule._replace(
            compute=lambda *arrays, **options: (calls.append(1), rule.compute(*arrays, **options))[1]
        )
        f = lm.function(
            [x], [x @ lm.linalg.pinv(constant(2 * np.eye(2))), lm.linalg.pinv(lm.cast(rows, "float64") * constant(np.eye(2)))]
        )
        for n in (3, 5, 3, 7):
            product, inverse = f(np.ones((n, 2)))
            np.testing.assert_allclose(product, np.full((n, 2), 0.5))
            np.testing.assert_allclose(inverse, np.eye(2) / n)
    finally:
        host.RULES["pinv"] = rule
    assert len(calls) == 1 + 4


def test_a_program_that_runs_itself_is_an_error_and_no_deadlock():
    from lamina.linalg import host

    a = lm.placeholder((2, 2))
    function = lm.function([a], lm.linalg.pinv(a))
    rule = host.RULES["pinv"]
    try:
        host.RULES["pinv"] = rule._replace(compute=lambda *arrays, **options: function(np.eye(2)))
        with pytest.raises(ValueError, match="this program is running"):
            function(np.eye(2))
    finally:
        host.RULES["pinv"] = rule
    assert np.array_equal(function(np.eye(2)), np.eye(2))


def test_a_fit_within_its_own_step_is_an_error():
    """As of a signal's handler that trains the network again: other batches would bind the program anew under the running step."""
    from lamina.linalg import host

    x, y = np.ones((12, 2)), np.zeros((12, 2))
    net = lm.Sequential(lm.Dense(2), lm.Lambda(lambda h: h @ lm.linalg.pinv(2 * np.eye(2) + lm.matmul(lm.transpose(h), h))), seed=0)
    net.compile("mse", "sgd").fit(x, y, verbose=0)
    rule = host.RULES["pinv"]
    try:
        host.RULES["pinv"] = rule._replace(compute=lambda *arrays, **options: net.fit(x, y, batch_size=3, verbose=0))
        with pytest.raises(ValueError, match="this program is running"):
            net.fit(x, y, verbose=0)
    finally:
        host.RULES["pinv"] = rule
    assert np.isfinite(net.fit(x, y, verbose=0)["loss"][0])


# ---- the pool --------------------------------------------------------------------------------------------------------------------


def cpus() -> int:
    return len(os.sched_getaffinity(0))


def state_of(task: str) -> str:
    """R for a thread that runs or could, S for one that sleeps; a thread that has ended sleeps for good."""
    try:
        return Path(f"/proc/self/task/{task}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return "S"


@pytest.mark.parametrize(("width", "rows"), [(32, 8), (128, 64), (512, 128)], ids=["tiny", "medium", "large"])
def test_a_pool_wider_than_the_cores_trains_the_same_net_and_sleeps(width, rows, threads):
    """A thread that spins where another waits for its processor costs slices of the scheduler, milliseconds each: with workers that
    spin without end the large network took 6 times as long in the median. So all of them must be found asleep after the steps.
    """
    x = np.ones((rows, width), np.float32)
    weights = []
    for count in (cpus(), 4 * cpus()):
        threads(count)
        model = lm.Sequential(lm.Dense(width, "relu"), lm.Dense(width), seed=0).compile("mse", "adam")
        for _ in range(20):
            model.train_step(x, x)
        weights.append(np.concatenate([value.ravel() for value in dict(model.parameters.items()).values()]))
        awake = {task for task in os.listdir("/proc/self/task") if int(task) != threading.get_native_id()}
        for _ in range(10_000):  # not spinning ends at once; where it does not, this does
            awake = {task for task in awake if state_of(task) != "S"}
            if not awake:
                break
            time.sleep(0.001)
        assert not awake
    assert np.array_equal(*weights)


CHILD = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
for variable in ("LAMINA_NUM_THREADS", "OMP_NUM_THREADS"):
    CHILD.pop(variable, None)


def child(code: str, **environment: str) -> str:
    """What a process prints that runs this; it must end well, and silently."""
    script = "import os, sys, threading, time\nimport numpy as np\nimport lamina as lm\n" + code
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, env={**CHILD, **environment}, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


FINALIZERS = """
import gc
x, places = np.zeros(3), {n: np.array([n]) for n in (0, 4, 5)}
lm.take(x, places[0])  # from now on C++ recalls the call
left = 200

def refused(n):
    try:
        lm.take(x, places[n])
    except ValueError as error:
        return str(error)

class Garbage:
    def __init__(self):
        self.itself = self

    def __del__(self):
        global left
        left -= 1
        gc.disable()
        assert "got 4" in refused(4)
        if left > 0:
            Garbage()
        gc.enable()

gc.disable()
Garbage()
gc.set_threshold(1)  # a collection wherever Python makes an object
gc.enable()
said = refused(5)
gc.disable()
print("got 5" in said, left < 200)
"""


def test_a_finalizer_that_fails_in_the_middle_of_a_failure():
    """It took the other's error with it, and there was none left to raise; or waited for what the other was making."""
    assert child(FINALIZERS) == "True True\n"


def test_without_room_for_threads_the_caller_works_alone():
    child("""
import resource
x = np.ones((300, 300), np.float32)
lm.set_num_threads(1)
lm.matmul(x, x)
pages = int(open('/proc/self/statm').read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 20_000_000, resource.RLIM_INFINITY))
lm.set_num_threads(64)
assert lm.matmul(x, x)[0, 0] == 300
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
lm.set_num_threads(2)
assert lm.matmul(x, x)[0, 0] == 300
""")


def test_the_number_of_threads_follows_affinity():
    one = min(os.sched_getaffinity(0))
    assert child(f"os.sched_setaffinity(0, [{one}])\nprint(lm.get_num_threads())") == "1\n"
    assert child("print(lm.get_num_threads())", LAMINA_NUM_THREADS="3", OMP_NUM_THREADS="2") == "3\n"
    assert child("print(lm.get_num_threads())", OMP_NUM_THREADS="many") == f"{cpus()}\n"
    for wrong in ("many", "0", "-3"):
        said = child("try: lm.get_num_threads()\nexcept ValueError as error: print(error)", LAMINA_NUM_THREADS=wrong)
        assert said.startswith("[LAMINA_NUM_THREADS] expected 1 or more threads, got")


GROUPS = {
    "none": ({}, 0),
    "no quota": ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, 0),
    "version 2": ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 2),
    "version 2, below the top": (
        {"proc/self/cgroup": "0::/a.slice/b.service\n", "sys/fs/cgroup/a.slice/b.service/cpu.max": "50000 100000\n"},
        1,
    ),
    "the least of all above": (
        {
            "proc/self/cgroup": "0::/a/b/c\n",
            "sys/fs/cgroup/a/b/c/cpu.max": "max 100000\n",
            "sys/fs/cgroup/a/b/cpu.max": "300000 100000\n",
            "sys/fs/cgroup/a/cpu.max": "500000 100000\n",
        },
        3,
    ),
    "version 1": (
        {
            "proc/self/cgroup": "5:memory:/x\n4:cpu,cpuacct:/docker/7\n0::/\n",
            "sys/fs/cgroup/cpu,cpuacct/docker/7/cpu.cfs_quota_us": "400000\n",
            "sys/fs/cgroup/cpu,cpuacct/docker/7/cpu.cfs_period_us": "100000\n",
        },
        4,
    ),
    "version 1, the host's path within a container": (
        {
            "proc/self/cgroup": "4:cpuacct,cpu:/docker/7\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "250000\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
        3,
    ),
    "version 1 without a quota": (
        {
            "proc/self/cgroup": "4:cpu:/\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
        0,
    ),
    "another controller's": ({"proc/self/cgroup": "4:cpuset:/\n", "sys/fs/cgroup/cpu.max": "100000 100000\n"}, 0),
    "broken": ({"proc/self/cgroup": "no\n0:\n::::\n0::/\n", "sys/fs/cgroup/cpu.max": "x\n"}, 0),
}  # fmt: skip


@pytest.mark.parametrize("name", GROUPS)
def test_quotas_of_control_groups(name, tmp_path):
    files, expected = GROUPS[name]
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    assert core.cpu_quota(str(tmp_path)) == expected


def test_nothing_spins_when_idle():
    used = child("""
net = lm.Sequential(lm.Dense(512, "relu"), lm.Dense(512), seed=0).compile("mse", "adam")
x = np.ones((256, 512), np.float32)
lm.set_num_threads(4)
for _ in range(5): net.train_step(x, x)
time.sleep(0.2)
start = time.process_time()
time.sleep(1)
print(time.process_time() - start)
""")
    assert float(used) < 0.05  # of one second


# ---- the end of the interpreter --------------------------------------------------------------------------------------------------

BUSY = """
lm.set_num_threads(2)
net = lm.Sequential(lm.Dense(256, "relu"), lm.Dense(10), seed=0).compile("cross_entropy", "adam").build(64)
x, y = np.ones((512, 64), np.float32), np.zeros(512, np.int64)
def predict():
    while True: net.predict(x[:50])
def fit():
    net.fit(x, y, epochs=10**9, batch_size=16, verbose=0)
def invert():
    a = lm.placeholder((4, 4))
    f = lm.function([a], lm.linalg.pinv(a))
    while True: f(np.eye(4))
def start(*functions, daemon=True):
    for f in functions: threading.Thread(target=f, daemon=daemon).start()
    time.sleep(0.1)
"""
ENDS = {
    "daemons that predict": "start(predict, predict, predict)",
    "daemons that train and predict": "start(fit, predict)",
    "daemons whose programs call Python": "start(invert, invert)",
    "sys.exit in a thread that trains": """
def leave():
    net.fit(x, y, epochs=9, callbacks=lm.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: sys.exit(3)), verbose=0)
start(leave, predict)
""",
    "sys.exit while others train": "start(fit)\nsys.exit(0)",
    "a fork among them": """
start(fit, predict)
child = os.fork()
if child == 0:
    net.predict(x)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
""",
    "a child of a fork that ends as usual": """
start(fit, predict)
child = os.fork()
if child == 0:
    start(predict)
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
""",
}


@pytest.mark.parametrize("name", ENDS)
def test_the_interpreter_ends_cleanly_during_work(name):
    child(BUSY + ENDS[name])


def test_a_fork_waits_for_no_thread_that_waits_for_it():
    """The forking thread has the turn that another one wants."""
    child("""
from lamina import _core
net = lm.Sequential(lm.Dense(64), seed=0).compile("mse", "sgd").build(8)
x = np.ones((16, 8), np.float32)
with _core.Section([net.parameters.tensor(name).variable for name in net.parameters]):
    thread = threading.Thread(target=net.predict, args=(x,))
    thread.start()
    time.sleep(0.1)
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
thread.join()
""")


FIRST_USES = """
import threading, numpy as np, lamina as lm
x, y = np.ones((4, 3)), np.zeros((4, 1))
net = lm.Sequential(lm.Dense(1), seed=0).compile("mse", "sgd")
net.train_step(x, y)
uses = [lambda: net.trace(x, y), lambda: net.profile(x, y, repeats=1), lambda: net.summary(), lambda: net.inspect(x, y)]
barrier, failed = threading.Barrier(len(uses)), []

def go(use):
    barrier.wait()
    try:
        use()
    except ImportError as error:
        failed.append(error)

threads = [threading.Thread(target=go, args=(use,)) for use in uses]
for t in threads: t.start()
for t in threads: t.join()
print(len(failed))
"""


@pytest.mark.parametrize("attempt", range(4))
def test_threads_may_meet_in_what_is_imported_at_its_first_use(attempt):
    ran = subprocess.run([sys.executable, "-c", FIRST_USES], capture_output=True, text=True, timeout=60)
    assert ran.stdout.strip() == "0", ran.stdout + ran.stderr
