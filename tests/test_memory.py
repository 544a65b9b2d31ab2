"""Memory: what cannot be had is a MemoryError with a name and a size, after which everything goes on; nothing leaks; sizes beyond
32 bits are counted right.

    LAMINA_DEEP=1 pytest tests/test_memory.py       10,000 builds, fits and predicts; arrays of more than 2^31 elements
"""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

import lamina as lm
from lamina import _core as core
from test_hostile_files import limited

DEEP = bool(os.environ.get("LAMINA_DEEP"))
GB = 1 << 30


# ---- what cannot be had ----------------------------------------------------------------------------------------------------------

SMALL = "net = lm.Sequential(lm.Dense(3), seed=0).compile('mse', 'sgd', metrics=['mae'])\nx, y = np.ones((9, 4), 'f4'), np.ones((9, 3), 'f4')\n"
WIDE = "net = lm.Sequential(lm.Dense(2), lm.Dense(200_000).named('wide'), lm.Dense(1), seed=0).compile('mse', 'sgd')\n"
CASES = {  # what is asked for; parts of the message
    "build": ("net = lm.Sequential(lm.Dense(50_000), lm.Dense(50_000).named('huge'))", "net.build(4)", ["huge", "weight", "(50000, 50000)", "10000000000 bytes"]),
    "pack": ("net = lm.Sequential(lm.Dense(24_000), lm.Dense(4_000), seed=0)", "net.build(1)", ["parameters", "(24000, 4000)", "bytes"]),
    "first values": ("net = lm.Sequential(lm.Dense(12_000), seed=0)", "net.build(9_000)", ["dense_1.weight", "(9000, 12000)", "864000000 bytes"]),
    "an array of an operation": ("x = np.ones((40_000, 1), 'f4')", "lm.add(x, x.T)", ["(40000, 40000)", "6400000000 bytes"]),
    "the arena": (WIDE + "x = np.ones((3_000, 4), 'f4')", "net.predict(x)", ["wide", "(3000, 200000)", "bytes"]),
    "a training step": (WIDE + "x = np.ones((3_000, 4), 'f4')", "net.train_step(x, np.ones((3_000, 1), 'f4'))", ["wide", "bytes"]),
    "an output": ("x = lm.Input(1)\nnet = lm.Model(x, lm.broadcast_to(x, (x.shape[0], 10**9)) + 1)\nx = np.ones((2, 1), 'f4')", "net.predict(x)", ["add", "(2, 1000000000)", "8000000000 bytes"]),
    "predict in parts": ("net = lm.Sequential(lm.Dense(50_000), seed=0).build(1)\nx = np.ones((20_000, 1), 'f4')", "net.predict(x, batch_size=100)", ["predict", "(20000, 50000)", "4000000000 bytes"]),
    "outputs of fit": ("net = lm.Sequential(lm.Dense(5_000), seed=0).compile('mse', 'sgd', metrics=['mae'])\nx = np.ones((90_000, 1), 'f4')\ny = np.broadcast_to(np.ones(1, 'f4'), (90_000, 5_000))", "net.fit(x, y, verbose=0)", ["bytes"]),
    "a constant": ("x = np.broadcast_to(np.ones(1), (10**5, 10**5))", "core.constant(x)", []),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_memory_error_names_the_tensor_and_the_size(name):
    made, asked, parts = CASES[name]
    code = (
        f"from lamina import _core as core\nlm.set_num_threads(1)\n{made}\nfuzz_files.limit_memory()\n"
        f"for _ in range(2):\n  try: {asked}\n  except MemoryError as e: print(e)\n  else: raise SystemExit('no error')\n"
        "if 'x' in globals() and 'net' in globals(): print('usable', net.predict(x[:2]).shape if x.shape[1] < 5 else '')\n"
        f"{SMALL}net.fit(x, y, verbose=0); print('usable', np.isfinite(net.predict(x)).all(), net.train_step(x, y) > 0)\n"
    )
    done = limited(code, room=800 << 20)
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    first, second, *rest = done.stdout.splitlines()
    assert first == second or name == "pack"
    for part in parts:
        assert part in first
    assert rest[-1] == "usable True True"


def test_a_network_whose_build_failed_can_be_built_smaller():
    code = (
        "net = lm.Sequential(lm.Dense(8), lm.Dense(30_000), lm.Dense(2), seed=0)\nfuzz_files.limit_memory()\n"
        "try: net.build(10**9)\nexcept MemoryError as e: print(e)\nelse: raise SystemExit('no error')\n"
        "other = lm.Sequential(lm.Dense(8), lm.Dense(30_000), lm.Dense(2), seed=0)\nx = np.ones((3, 4), 'f4')\n"
        "print(np.array_equal(net.predict(x), other.predict(x)), list(net.parameters) == list(other.parameters))\n"
    )
    done = limited(code, room=500 << 20)
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    message, same = done.stdout.splitlines()
    assert "dense_1" in message and "bytes" in message and same == "True True"


# ---- sizes beyond 32 and 64 bits -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [(2**31, 2**31, 2), (2**32, 2**32), (2**62, 2**62), (2**40, 2**19, 2), (0, 2**61, 2**61)])
def test_products_of_dimensions(sizes):
    """More elements than memory can address are refused where they are asked for; 0 of them are 0."""
    x = lm.placeholder((1,) * len(sizes), "float64")
    with pytest.raises((ValueError, MemoryError), match="memory|bytes"):
        program = core.Program([x.node], [lm.exp(lm.broadcast_to(x, sizes)).node])
        program.run([np.ones((1,) * len(sizes))])


def test_more_than_32_bits_of_elements_that_are_never_stored():
    """2^33 elements in a fused sum; the offsets of a broadcast, which has no memory of its own."""
    x = lm.placeholder((None, 1, 1), "float64")
    wide = lm.broadcast_to(x, (x.shape[0], 2**20, 2**13))
    corner = wide[:, 2**20 - 2 :, 2**13 - 3 :: 2]
    got = core.Program([x.node], [corner.node, lm.size(wide).node]).run([np.full((1, 1, 1), 5.0)])
    assert np.array_equal(got[0], np.full((1, 2, 2), 5.0)) and float(got[1]) == 2.0**33


def available() -> int:
    with open("/proc/meminfo") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable"))


HUGE = {  # name -> (bytes needed, code that ends with an assertion)
    "bool": (7 * GB, "x = np.zeros((2**31 + 7,), bool); x[-3:] = True\nassert int(lm.sum(x)) == 3\nassert lm.flip(x)[:4].tolist() == [True] * 3 + [False]"),
    "take": (12 * GB, "x = np.zeros((2**20 + 1, 2**11), 'f4'); x[-1] = 7\nassert lm.take(x, np.array([2**20, 0]), axis=0)[:, 0].tolist() == [7, 0]"),
    "slice": (12 * GB, "x = np.zeros((2**31 + 9,), 'f4'); x[-2:] = 3\nassert lm.getitem(lm.placeholder(x.shape), slice(-2, None)).shape == (2,)\np = lm.placeholder(x.shape); f = lm.function([p], [p[2**31:], lm.max(p)])\na, b = f(x)\nassert a.tolist() == [0] * 7 + [3] * 2 and b == 3"),
    "rows times columns": (20 * GB, "x = np.ones((2**16 + 1, 1), 'f4'); w = np.ones((1, 2**15 + 1), 'f4')\ny = lm.matmul(x, w)\nassert y.shape == (2**16 + 1, 2**15 + 1) and y[-1, -1] == 1 and y[-1].sum() == 2**15 + 1"),
    "sum of a product": (8 * GB, "x = lm.placeholder((None, 1)); w = lm.placeholder((1, 2**15 + 1))\nf = lm.function([x, w], [lm.sum(lm.cast(lm.tanh(x) * w, 'float64'))])\n(got,) = f(np.full((2**16 + 1, 1), 50.0, 'f4'), np.ones((1, 2**15 + 1), 'f4'))\nassert got == (2**16 + 1) * (2**15 + 1), got"),
}  # fmt: skip


@pytest.mark.skipif(not DEEP, reason="gigabytes: LAMINA_DEEP=1")
@pytest.mark.parametrize("name", HUGE)
def test_more_than_2_31_elements(name):
    need, code = HUGE[name]
    if available() < need:
        pytest.skip(f"needs {need >> 30} GB of memory")
    done = subprocess.run([sys.executable, "-c", "import numpy as np, lamina as lm\n" + code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


# ---- nothing leaks ---------------------------------------------------------------------------------------------------------------

LOOP = """
import gc, sys
import numpy as np, lamina as lm
lm.set_num_threads(1)
x, y = np.ones((8, 4), np.float32), np.zeros(8, np.int64)

def once(k):
    net = lm.Sequential(lm.Dense(6, "gelu"), lm.BatchNorm(), lm.Dropout(0.2), lm.Dense(3), seed=k)
    net.compile("cross_entropy", lm.optim.Adam(1e-2), metrics=["accuracy"])
    net.fit(x, y, epochs=1, batch_size=4, verbose=0)
    net.predict(x)

def resident():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4

times, warm = int(sys.argv[1]), int(sys.argv[2])
for k in range(warm): once(k)
before = resident()
for k in range(times): once(k)
print(before, resident())
"""


def test_builds_fits_and_predicts_leave_nothing_behind():
    times = 10_000 if DEEP else 600
    done = subprocess.run([sys.executable, "-c", LOOP, str(times), "150"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    before, after = map(int, done.stdout.split())  # KB
    # A net of this size holds some 100 KB: one kept in fifty would show.
    assert after - before < 1500, f"{before} KB before, {after} KB after {times} more"
    print(f"{before} KB before, {after} KB after {times} more")
