"""What makes it fast, held without a clock: the steps of a training program, its switches, and the inner loops of the kernels."""

from __future__ import annotations

import re
import shutil
import subprocess

import numpy as np
import pytest

import lamina as lm
from lamina import _core as core
from lamina.models.programs import Target, Task
from test_layering import compiler, isa_flags, kernel_units

TARGETS = {"cross_entropy": ("int64", ()), "mse": ("float32", (3,))}


def network(activation, loss, optimizer, hidden=(8, 6), **more):
    """5 -> 8 -> 6 -> 3"""
    net = lm.Sequential(*(lm.Dense(n, activation) for n in hidden), lm.Dense(3), seed=1, **more).build(5)
    return net.compile(loss, optimizer)


def batch(loss, n, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 5)).astype(np.float32)
    return x, rng.integers(0, 3, n) if loss == "cross_entropy" else rng.standard_normal((n, 3)).astype(np.float32)


def program(net, loss, **switches):
    """A training program of the network, built as `Programs` does, with switches of the core; and what keeps it alive."""
    graph = net.programs.loss(Task((Target(*TARGETS[loss]),)))
    optimizer = net.programs.bind_optimizer()
    parameters = net.programs.trainable
    effects = optimizer.effects(parameters, lm.grad(graph.loss, parameters))
    return core.Program(graph.inputs(net.inputs), [graph.loss.node], [e.node for e in effects], True, **switches)


CASES = [("relu", "cross_entropy", "adam"), ("tanh", "mse", "sgd")]


@pytest.mark.parametrize("hidden", [(), (8,), (8, 6), (8, 6, 7)], ids=len)
@pytest.mark.parametrize(("activation", "loss", "optimizer"), CASES)
def test_the_steps_of_a_training_program(activation, loss, optimizer, hidden):
    """A product for each layer's value, for each gradient of a layer's input but the first, and for each weight's gradient.

    What follows a product runs inside it: bias and activation; the loss and its gradient; the slope and the bias's gradient; the
    optimizer's rule.
    """
    n = len(hidden)
    steps = program(network(activation, loss, optimizer, hidden), loss).steps
    products = [s.split("+") for s in steps if s.startswith("matmul")]
    rest = [s for s in steps if not s.startswith("matmul")]
    assert len(products) == (n + 1) + n + (n + 1), steps
    assert products[:n] == [["matmul", "add", activation]] * n
    assert products[n][:2] == ["matmul", "add"], "the loss and its gradient follow the last layer's product"
    assert "sum" in products[n], "the last bias's gradient rides along"
    if loss == "cross_entropy":
        assert {"logsumexp", "one_hot", "softmax"} <= set(products[n])
    backward = [p for p in products[n + 1 :] if "rule_update" not in p]
    assert backward == [["matmul", f"{activation}_backward", "sum"]] * n
    assert sum(p == ["matmul", "rule_update"] for p in products) == n + 1
    # beside the products: the rule's constants, the small updates of all biases at once, and the mean's division
    assert sorted(rest) == sorted(["rule_constants", "+".join(["rule_update"] * (n + 1)), "div"])


def test_what_a_layer_norm_gives_back_is_one_step():
    """Its rows' means and variances stay in the tile, in both directions: nothing but the products and what ends a step is left."""
    net = lm.Sequential(lm.Dense(8, "relu"), lm.LayerNorm(), lm.Dense(3), seed=1).build(5).compile("mse", "adam")
    steps = program(net, "mse").steps
    products = [s.split("+") for s in steps if s.startswith("matmul")]
    assert len(products) == 2 + 1 + 2, steps
    assert products[0][:4] == ["matmul", "add", "relu", "sum"] and "sqrt" in products[0]
    backward = [p for p in products if "relu_backward" in p]
    assert len(backward) == 1 and backward[0].count("sum") == 5, "two of rows, and the gradients of a bias and of the norm's two"
    rest = [s for s in steps if not s.startswith("matmul")]
    assert sorted(rest) == sorted(["rule_constants", "+".join(["rule_update"] * 4), "div"])


def test_a_prediction_is_one_step_a_layer():
    net = network("relu", "cross_entropy", "adam")
    assert net.programs.predict().steps == ["matmul+add+relu", "matmul+add+relu", "matmul+add"]


def test_another_batch_size_is_the_same_program():
    net = network("relu", "cross_entropy", "adam")
    net.train_step(*batch("cross_entropy", 32))
    built = dict(net.programs.trained.programs)
    steps = [p.steps for p in built.values()]
    for n in (1, 7, 64, 33, 32):
        assert np.isfinite(net.train_step(*batch("cross_entropy", n)))
        net.predict(batch("cross_entropy", n)[0])
    after = net.programs.trained.programs
    assert list(after) == list(built)
    assert all(after[key] is built[key] for key in built)
    assert [p.steps for p in after.values()] == steps


def test_buffers_grow_to_the_largest_batch_and_stay():
    net = network("tanh", "mse", "sgd")
    trained = program(net, "mse")
    x, y = batch("mse", 64)
    trained.run([x, y])
    largest = trained.arena_bytes
    for n in (1, 13, 64):
        trained.run([x[:n], y[:n]])
        assert trained.arena_bytes <= largest


SWITCHES = [
    {"fuse": False},
    {"fuse_products": False},
    {"fuse_updates": False},
    {"fuse": False, "fuse_products": False, "fuse_updates": False},
    {"fuse": False, "optimize": False},
]


@pytest.mark.parametrize("switches", SWITCHES, ids=lambda s: ", ".join(s))
@pytest.mark.parametrize(("activation", "loss", "optimizer"), CASES)
def test_without_a_fusion_there_are_more_steps_and_the_same_numbers(activation, loss, optimizer, switches):
    whole, parts = (network(activation, loss, optimizer) for _ in range(2))
    fused, split = program(whole, loss), program(parts, loss, **switches)
    assert len(split.steps) > len(fused.steps)
    folded = switches.get("optimize", True)  # in both: then no bit differs
    for seed, n in enumerate((16, 5, 16)):
        a, b = (p.run(list(batch(loss, n, seed)))[0] for p in (fused, split))
        np.testing.assert_allclose(a, b, rtol=0 if folded else 2e-6)  # other constants: other factors before a mean of 48 numbers
    for name, value in whole.parameters.items():
        # three updates of at most 1e-3 (Adam): a gradient near 0 may be rounded to another one, as large as itself
        rtol, atol = (0, 0) if folded else (1e-5, 2e-6)
        np.testing.assert_allclose(value, parts.parameters[name], rtol=rtol, atol=atol, err_msg=name)


# ---- The inner loops of the micro-kernels ----

BEGIN = re.compile(r"^(_ZN\w*?_GLOBAL__N_1\w*?(?:4tile|9thin_tile)I([fd])Li(\d+)E(?:Li(\d+)E)?(?:Lb([01])E)?E\w*):$")
LABEL = re.compile(r"^(\.L\w+):")
JUMP = re.compile(r"^\t(?:j[a-z]+\t|b\.?[a-z]+\t|cbn?z\t\w+, )(\.L\w+)")
MULTIPLY = {"base": r"\tmulp[sd]\t", "avx2": "vfmadd", "avx512": "vfmadd", "neon": r"\tfmla\t"}  # one for each vector of C


def compiler_of(isa: str) -> str | None:
    """A compiler that builds for the instruction set: this machine's, or a cross compiler."""
    wanted = "aarch64" if isa == "neon" else "x86_64"
    for name in (compiler(), f"{wanted}-linux-gnu-g++"):
        found = shutil.which(name) and subprocess.run([name, "-dumpmachine"], capture_output=True, text=True).stdout
        if found and found.replace("arm64", "aarch64").startswith(wanted):
            return name
    return None


def functions(assembly: str) -> dict[tuple[str, int, int, bool], list[str]]:
    """(f or d, rows, vectors, aside) -> lines of a register tile; 0 vectors for the thin one."""
    found: dict[tuple[str, int, int, bool], list[str]] = {}
    body: list[str] | None = None
    for line in assembly.splitlines():
        begin = BEGIN.match(line)
        if begin:
            body = found.setdefault((begin[2], int(begin[3]), int(begin[4] or 0), begin[5] == "1"), [])
        elif line.startswith("\t.size"):
            body = None
        elif body is not None:
            body.append(line)
    return found


def inner_loops(lines: list[str]) -> list[list[str]]:
    """From a label to the jump back to it, with no other loop inside."""
    at = {m[1]: i for i, line in enumerate(lines) if (m := LABEL.match(line))}
    loops = []
    for i, line in enumerate(lines):
        jump = JUMP.match(line)
        if jump and at.get(jump[1], i) < i:
            loops.append((at[jump[1]], i))
    return [lines[a : b + 1] for a, b in loops if not any(a <= c and d <= b and (c, d) != (a, b) for c, d in loops)]


@pytest.mark.parametrize("unit", kernel_units(), ids=lambda p: p.stem)
def test_no_inner_loop_of_a_micro_kernel_touches_the_stack(unit, tmp_path):
    """A reference to the stack means that accumulators do not fit the registers, or that a load went through memory: it costs half
    of the speed and more. Built are the widest tiles of each number of rows, those with the least room, with the file's flags."""
    isa = unit.stem.removeprefix("isa_")
    builder = compiler_of(isa)
    if builder is None:
        pytest.skip(f"no compiler here builds for the processors of {isa}")
    products = unit.read_text().replace("kernels/table.inl", "kernels/gemm.inl")
    space = f"lamina::kernels::{isa}::"
    take = [
        f"[[gnu::used]] auto take_{t}_{r} = &{space}tile<{t}, {r}, {space}widest({r})>;"
        for t in ("float", "double")
        for r in range(1, 7)
    ]
    take += [
        f"[[gnu::used]] auto take_aside_{t}_{r} = &{space}tile<{t}, {r}, {space}kTileVectors, true>;"
        for t in ("float", "double")
        for r in (5, 6)
    ]
    take += [f"[[gnu::used]] auto take_thin_{t} = &{space}thin_tile<{t}, {space}kThinRows>;" for t in ("float", "double")]
    source, target = tmp_path / "products.cpp", tmp_path / "products.s"
    source.write_text(products.replace("#endif", "\n".join([*take, "#endif"])))
    flags = ["-std=c++20", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", *isa_flags(unit)]
    command = [builder, *flags, f"-I{unit.parent.parent}", "-S", str(source), "-o", str(target)]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, f"{' '.join(command)}\n{built.stderr}"
    tiles = functions(target.read_text())
    assert len(tiles) == len(take), f"the register tiles have other names now, adapt this test; found {sorted(tiles)}"
    for (kind, rows, vectors, aside), lines in tiles.items():
        where = f"{isa} tile<{'float' if kind == 'f' else 'double'}, {rows}, {vectors}{', true' * aside}>"
        stack = ("[sp", "(%rsp", "(%rbp") if any("movq\t%rsp, %rbp" in line for line in lines) else ("[sp", "(%rsp")
        loops = [loop for loop in inner_loops(lines) if any(re.search(MULTIPLY[isa], line) for line in loop)]
        assert loops, f"{where}: expected a loop of multiply-adds"
        for loop in loops:
            count = sum(bool(re.search(MULTIPLY[isa], line)) for line in loop)
            assert count % (rows * max(vectors, 1)) == 0, f"{where}: {count} multiply-adds in the loop"
            touched = [line.strip() for line in loop if any(s in line for s in stack)]
            if aside:  # there addresses may, whole vectors may not
                touched = [line for line in touched if re.search(r"mov[au]p[sd]|%[yz]mm|\bq\d", line)]
            assert not touched, f"{where}: the inner loop refers to the stack: {touched}"
