"""Every instruction set of this machine: forced by LAMINA_ISA, reported by lm.isa(), and in agreement with the others."""

from __future__ import annotations

import importlib
import json
import os
import platform
import subprocess
import sys

import numpy as np
import pytest

SCRIPT = """
import json, sys
import numpy as np
import lamina as lm
from lamina import _core as core

rng = np.random.default_rng(0)
result = {"isa": lm.isa(), "losses": {}, "ops": {}}
for dtype in ("float32", "float64"):
    x, y = rng.normal(size=(129, 37)).astype(dtype), rng.integers(0, 5, 129)
    net = lm.Sequential(lm.Dense(65, "tanh"), lm.LayerNorm(), lm.Dense(17, "gelu"), lm.BatchNorm(), lm.Dense(5),
                        seed=1, dtype=dtype)
    net.compile("cross_entropy", lm.optim.Adam(1e-3))
    result["losses"][dtype] = [net.train_step(x, y) for _ in range(10)]
    result["ops"][dtype + " predict"] = net.predict(x).ravel()[:50].tolist()
    at = rng.normal(size=333).astype(dtype)
    for name in core.activation_names():
        result["ops"][f"{dtype} {name}"] = lm.activation(name, at).tolist()
    for name in ("exp", "sin", "cos", "erf", "expm1", "abs", "floor"):
        result["ops"][f"{dtype} {name}"] = getattr(lm, name)(at).tolist()
    for name in ("log", "log1p", "sqrt"):
        result["ops"][f"{dtype} {name}"] = getattr(lm, name)(np.abs(at)).tolist()
json.dump(result, sys.stdout)
"""


def run(script: str, isa: str | None) -> subprocess.CompletedProcess:
    environment = {k: v for k, v in os.environ.items() if k != "LAMINA_ISA"}
    if isa is not None:
        environment["LAMINA_ISA"] = isa
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=120)


def supported() -> list[str]:
    """Read from the processor's flags, apart from the core's own detection."""
    if platform.machine().lower() in {"aarch64", "arm64"}:
        return ["neon"]
    found = ["base"]
    try:
        with open("/proc/cpuinfo") as file:
            flags = next((set(line.split(":")[1].split()) for line in file if line.startswith("flags")), set())
    except OSError:  # on other systems NumPy's word
        numpy_core = importlib.import_module("numpy._core" if hasattr(np, "_core") else "numpy.core")
        flags = {name.lower().replace("fma3", "fma") for name, has in numpy_core._multiarray_umath.__cpu_features__.items() if has}
    if {"avx2", "fma"} <= flags:
        found.append("avx2")
    if {"avx512f", "avx512bw", "avx512dq", "avx512vl"} <= flags:
        found.append("avx512")
    return found


@pytest.fixture(scope="module")
def results() -> dict[str, dict]:
    found = {}
    for isa in supported():
        done = run(SCRIPT, isa)
        assert done.returncode == 0, f"LAMINA_ISA={isa}\n{done.stderr}"
        found[isa] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("isa", supported())
def test_the_forced_one_is_used(isa, results):
    assert results[isa]["isa"] == isa


@pytest.mark.parametrize("isa", supported())
def test_agreement(isa, results):
    base, other = results[supported()[0]], results[isa]
    for dtype, tolerance in (("float32", 2e-5), ("float64", 1e-12)):  # sums in another order: a few eps, grown by ten steps of Adam
        np.testing.assert_allclose(other["losses"][dtype], base["losses"][dtype], rtol=tolerance)
    for name, values in other["ops"].items():
        tolerance = (3e-6, 3e-5)["predict" in name] if name.startswith("float32") else (1e-14, 1e-10)["predict" in name]
        np.testing.assert_allclose(values, base["ops"][name], rtol=tolerance, atol=tolerance, err_msg=name)


def test_the_best_one_is_taken_by_default():
    done = run("import lamina; print(lamina.isa())", None)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == supported()[-1]


@pytest.mark.parametrize("name", ["avx3", "AVX-2", "sse", "nonsense"])
def test_an_unknown_name_is_a_clear_error(name):
    done = run("import lamina", name)
    assert done.returncode == 1, "a Python exception, neither silence nor a crash"
    last = done.stderr.strip().splitlines()[-1]
    assert "LAMINA_ISA" in last and name in last and supported()[0] in last and last.endswith("leave it out for the best one")
    assert "Error" in last.split(":")[0]


def unsupported() -> list[str]:
    return sorted({"base", "avx2", "avx512", "neon"} - set(supported()))


@pytest.mark.parametrize("name", unsupported())
def test_an_unsupported_one_is_a_clear_error(name):
    done = run("import lamina", name)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "LAMINA_ISA" in last and name in last and supported()[0] in last and last.endswith("leave it out for the best one")
