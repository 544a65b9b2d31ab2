"""Damaged and hostile files: mutations of saved networks. Each is loaded, and what loads predicts; nothing else may happen than a
network or a ValueError that names the file, in a second and in bounded memory.

    python tests/fuzz_files.py --files 100000 --seed 0
    python tests/fuzz_files.py --time 600

A mutation is drawn from (seed, number): `--seed 3 --first 17 --files 1` repeats one. What fails is kept in --keep.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import lamina as lm

SECONDS = 1.0  # of processor time, which a loaded machine does not stretch
ROOM = 1 << 30  # bytes beyond what the process holds before the first file
MOST_ELEMENTS = 1e6  # of all nodes: what is larger is loaded and not run
USABLE = (ValueError, TypeError, KeyError, MemoryError, np.linalg.LinAlgError)  # of a hostile network that runs

Bytes = bytes
Rng = np.random.Generator


# ---- valid files -----------------------------------------------------------------------------------------------------------------


class Twice(lm.Layer):
    """A layer that the package does not know."""

    def forward(self, x):
        return lm.concatenate([x[:, ::-1], lm.pad(x, [(0, 0), (1, 2)])], axis=1)


def networks() -> Iterator[lm.Model]:
    yield lm.Sequential(lm.Dense(8, "relu"), lm.Dense(3), seed=0).build(4)
    yield lm.Sequential(lm.Dense(5, "gelu"), lm.BatchNorm(), lm.LayerNorm(), lm.Dropout(0.3), lm.Dense(3), seed=0).build(4)
    yield lm.Sequential(lm.Dense(8, "leaky_relu", weight_init="he_normal"), lm.Dense(3), seed=5)
    yield lm.Sequential(lm.Embedding(7, 3), lm.Flatten(), lm.Dense(2), seed=0).build(5, dtype="int64")
    yield lm.Sequential(Twice(), lm.Lambda(lambda t: lm.softmax(t) * 2), lm.Dense(3), seed=0, dtype="float64").build(4)
    a, i = lm.Input(4, 4, name="a"), lm.Input(2, name="i", dtype="int64")
    gain = lm.Parameter(np.full(3, 2.0, np.float32), name="gain")
    h = lm.matmul(a, lm.transpose(a, (0, 2, 1))) + lm.linalg.inv(a * np.eye(4, dtype=np.float32))
    picked = lm.take(lm.Parameter(np.ones((9, 3), np.float32), name="table"), i) * gain + np.arange(6, dtype=np.float32).reshape(
        2, 3
    )
    out = lm.where(h[:, 1:3, ::2] > 0, lm.cast(lm.argmax(h, axis=1)[:, :1], "float32")[:, None], lm.clip(h, -1, 1)[:, :2, :2])
    ends = {"out": out, "picked": lm.mean(picked, axis=1), "hot": lm.one_hot(i, 4), "norm": lm.norm(h, axis=(1, 2))}
    yield lm.Model([a, i], ends, seed=3)


def seeds(folder: Path) -> list[Bytes]:
    """Valid files of every kind, some with a loss, an optimizer and its state."""
    found = []
    for k, net in enumerate(networks()):
        optimizers = {
            0: lm.optim.Adam(1e-2),
            1: lm.optim.SGD(lm.schedules.Cosine(0.5, 20), momentum=0.9),
            2: lm.optim.LBFGS(history=3),
        }
        if k in optimizers:
            net.compile("cross_entropy", optimizers[k], metrics=["accuracy"])
        if k < 2:
            net.train_step(np.ones((3, 4), np.float32), np.zeros(3, np.int64))
        net.save(folder / "seed.safetensors", optimizer=net.compiled)
        found.append((folder / "seed.safetensors").read_bytes())
    return found


# ---- a file and its parts --------------------------------------------------------------------------------------------------------


def split(data: Bytes) -> tuple[dict[str, Any], dict[str, Any], Bytes]:
    """(header without the metadata, description, tensors' bytes) of a valid file."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    return header, json.loads(header.pop("__metadata__")["lamina"]), data[end:]


def join(header: Any, description: Any, body: Bytes) -> Bytes:
    text = description if isinstance(description, str) else json.dumps(description)
    whole = {"__metadata__": {"lamina": text}, **header}
    packed = json.dumps(whole).encode("utf-8", "surrogatepass")
    return len(packed).to_bytes(8, "little") + packed + body


def places(tree: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of each value of a JSON tree."""
    yield at
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield from places(value, (*at, key))


def inside(tree: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        tree = tree[key]
    return tree


# ---- mutations: (rng, valid files) -> bytes --------------------------------------------------------------------------------------

SIZES = [
    0,
    1,
    -1,
    2,
    3,
    4,
    5,
    7,
    8,
    2**24,
    2**31 - 1,
    2**31,
    2**32,
    2**53,
    2**59,
    2**61,
    2**62,
    2**63 - 1,
    2**63,
    2**64,
    -(2**63),
    10**30,
]
VALUES: list[Any] = [
    *SIZES, *SIZES, None, True, False, 0.5, -0.0, 1e308, math.nan, math.inf, -math.inf,
    "", "x", "B", "nan", "a\0b", "../../etc/passwd", "é",
    "\ud800", "float16", "int64", "bool", "float64", [], {}, [0], [[]], [2**40] * 3, {"dim": "B"}, {"dim": "2*B+1"}, {"dim": "B-7"},
    {"dim": "Q"}, {"dim": "999999999999999999*B"}, {"float": "nan"}, {"float": "x"}, {"class": "Adam", "config": {}},
    {"class": "Dense", "config": {"units": 2**62}}, {"class": "LBFGS", "config": {"history": 10**12}},
]  # fmt: skip


def pick(rng: Rng, options: list[Any]) -> Any:
    return options[int(rng.integers(len(options)))]


def other_value(rng: Rng, old: Any, words: list[Any]) -> Any:
    kind = rng.integers(6)
    if kind == 0 and isinstance(old, (int, float)) and not isinstance(old, bool):
        return old + pick(rng, [-1, 1, 2, -2, 100, 0.5])
    if kind == 1 and isinstance(old, list):
        return pick(rng, [old * 2, old[::-1], old[:-1], [*old, *old[:1]], old[1:]])
    if kind <= 3:
        return copy.deepcopy(pick(rng, words))
    return copy.deepcopy(pick(rng, VALUES))


def mutate_tree(rng: Rng, tree: Any, words: list[Any]) -> Any:
    """A tree with one to four of its values replaced, removed, exchanged or renamed."""
    for _ in range(int(rng.integers(1, 5))):
        paths = list(places(tree))[1:]
        if not paths:
            return tree
        path = pick(rng, paths)
        parent, key = inside(tree, path[:-1]), path[-1]
        kind = rng.integers(7)
        if kind == 0:
            parent.pop(key)
        elif kind == 1 and isinstance(parent, dict):
            parent[pick(rng, [*parent, "x", "", "a" * 300, "__class__"])] = parent.pop(key)
        elif kind == 2:
            other = pick(rng, paths)
            parent[key] = copy.deepcopy(inside(tree, other))
        elif kind == 3 and isinstance(parent, list):
            parent.insert(int(key), copy.deepcopy(parent[int(key)]))
        else:
            parent[key] = other_value(rng, parent[key], words)
    return tree


def words_of(files: list[Bytes]) -> list[Any]:
    """Every value and subtree of the descriptions of valid files: what a mutation may put elsewhere."""
    found: dict[str, Any] = {}
    for data in files:
        tree = split(data)[1]
        for path in places(tree):
            value = inside(tree, path)
            found.setdefault(json.dumps(value), value)
    return [value for text, value in found.items() if len(text) < 500] + [*lm._core.op_names(), *lm._core.activation_names()]


class Mutator:
    def __init__(self, files: list[Bytes]):
        self.files, self.words = files, words_of(files)

    def __call__(self, seed: int, number: int) -> Bytes:
        rng = np.random.default_rng([seed, number])
        kinds: list[Callable[[Rng, Bytes], Bytes]] = [
            self.description, self.description, self.description, self.description, self.attribute, self.attribute, self.attribute,
            self.header, self.raw, self.raw, self.cut, self.splice, self.parts, self.text, self.length, self.values,
        ]  # fmt: skip
        data = pick(rng, self.files)
        return bytes(pick(rng, kinds)(rng, data))

    def description(self, rng: Rng, data: Bytes) -> Bytes:
        header, description, body = split(data)
        return join(header, mutate_tree(rng, description, self.words), body)

    def attribute(self, rng: Rng, data: Bytes) -> Bytes:
        """One node: another operation, other inputs, another attribute."""
        header, description, body = split(data)
        nodes = description.get("nodes")
        if not nodes:
            return self.description(rng, data)
        for _ in range(int(rng.integers(1, 4))):
            node = pick(rng, nodes)
            kind = rng.integers(4)
            if kind == 0:
                node["op"] = pick(rng, lm._core.op_names())
                if node["op"] == "host" or rng.random() < 0.5:
                    node["attrs"] = {k: v for n in nodes for k, v in n.get("attrs", {}).items()}
            elif kind == 1:
                node["in"] = [int(n) for n in rng.integers(0, len(nodes), rng.integers(0, 4))]
            elif "attrs" in node:
                key = pick(rng, list(node["attrs"]))
                node["attrs"][key] = mutate_tree(rng, [node["attrs"][key]], [*SIZES, *self.words])[:1]
                node["attrs"][key] = node["attrs"][key][0] if node["attrs"][key] else None
            elif "shape" in node:
                node["shape"] = mutate_tree(rng, node["shape"], SIZES)
        return join(header, description, body)

    def header(self, rng: Rng, data: Bytes) -> Bytes:
        header, description, body = split(data)
        return join(mutate_tree(rng, header, self.words), description, body)

    def raw(self, rng: Rng, data: Bytes) -> Bytes:
        changed = bytearray(data)
        end = len(changed) if rng.random() < 0.3 else 8 + int.from_bytes(data[:8], "little")
        for at in rng.integers(0, end, rng.integers(1, 9)):
            changed[at] = rng.integers(256) if rng.random() < 0.5 else changed[at] ^ (1 << rng.integers(8))
        return changed

    def cut(self, rng: Rng, data: Bytes) -> Bytes:
        first, last = sorted(int(n) for n in rng.integers(0, len(data) + 1, 2))
        return pick(
            rng, [data[:last], data[first:], data[:first] + data[last:], data[:last] + data[first:], data + data[first:last]]
        )

    def splice(self, rng: Rng, data: Bytes) -> Bytes:
        other = pick(rng, self.files)
        return data[: rng.integers(len(data))] + other[rng.integers(len(other)) :]

    def parts(self, rng: Rng, data: Bytes) -> Bytes:
        """Header, description and tensors of different files."""
        parts = [split(pick(rng, [data, *self.files])) for _ in range(3)]
        return join(parts[0][0], parts[1][1], parts[2][2])

    def text(self, rng: Rng, data: Bytes) -> Bytes:
        """The description as text: cut, nested, doubled."""
        header, description, body = split(data)
        text = json.dumps(description)
        at = int(rng.integers(len(text)))
        deep = "[" * int(rng.integers(1, 5000))
        doubled = text[:-1] + ", " + text[1:]
        return join(
            header, pick(rng, [text[:at], text[at:], text[:at] + deep + text[at:], deep, doubled, text[::-1], text * 2]), body
        )

    def length(self, rng: Rng, data: Bytes) -> Bytes:
        """Another length of the header."""
        length = int.from_bytes(data[:8], "little") + int(rng.integers(-20, 21)) if rng.random() < 0.5 else abs(pick(rng, SIZES))
        return (length % 2**64).to_bytes(8, "little") + data[8:]

    def values(self, rng: Rng, data: Bytes) -> Bytes:
        """Tensors of any bits: NaN, infinities, indices far away."""
        header, description, body = split(data)
        return join(header, description, rng.bytes(len(body)) if rng.random() < 0.5 else b"\xff" * len(body))


# ---- what must hold --------------------------------------------------------------------------------------------------------------


def outcome(path: Path) -> str:
    """ "loaded", "refused" or "ran"; AssertionError for anything that must not happen."""
    start = time.process_time()
    try:
        net = lm.load(path)
    except ValueError as error:
        message = str(error)
        assert path.name in message, f"the error does not name the file: {message}"
        assert len(message) < 2000, f"an error of {len(message)} characters"
        return "refused"
    finally:
        seconds = time.process_time() - start
        assert seconds < SECONDS, f"{seconds:.1f} s"
    return use(net)


def use(net: lm.Model) -> str:
    """Runs what a file described where it is small: wrong values are its own affair, memory and the process are not."""
    if not net.built or sum(elements(t.node) for t in net.inputs) > 1e4:
        return "loaded"
    if sum(elements(node) for node in lm._core.topological([t.node for t in net.outputs])) > MOST_ELEMENTS:
        return "loaded"
    arrays = [np.ones([2 if not isinstance(n, int) else n for n in t.shape], t.dtype) for t in net.inputs]
    try:
        net.programs.predict().run(arrays)
    except USABLE:
        return "loaded"
    return "ran"


def elements(node: Any) -> float:
    return math.prod(float(n) if isinstance(n, int) else 16.0 for n in node.shape)


def limit_memory() -> None:
    import resource  # Windows has none, and tests there take `split` and `join` alone

    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, used + ROOM))


def fuzz(
    numbers: Iterator[int], seed: int, folder: Path, keep: Path | None, seconds: float = math.inf
) -> tuple[Counter, list[str]]:
    """(how many of each outcome, failures)."""
    mutate = Mutator(seeds(folder))
    path, start = folder / "mutated.safetensors", time.monotonic()
    found: Counter[str] = Counter()
    failures = []
    for number in numbers:
        if time.monotonic() - start > seconds:
            break
        data = mutate(seed, number)
        path.write_bytes(data)
        try:
            found[outcome(path)] += 1
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            failures.append(f"seed {seed}, file {number}: {type(error).__name__}: {str(error)[:300]}")
            print(failures[-1], flush=True)
            if keep is not None:
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"{seed}_{number}.safetensors").write_bytes(data)
    return found, failures


def main() -> int:
    import resource

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10**12)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--time", type=float, default=math.inf, help="seconds after which to stop")
    parser.add_argument("--keep", type=Path, help="folder for files that failed")
    options = parser.parse_args()
    if options.files == 10**12 and options.time == math.inf:
        options.files = 10_000
    with tempfile.TemporaryDirectory() as folder:
        lm.set_num_threads(1)
        if "libasan" not in Path("/proc/self/maps").read_text():  # whose shadow memory is terabytes of addresses
            limit_memory()
        start = time.monotonic()
        numbers = iter(range(options.first, options.first + options.files))
        found, failures = fuzz(numbers, options.seed, Path(folder), options.keep, options.time)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(
        f"{sum(found.values())} files in {time.monotonic() - start:.0f} s, {dict(found)}, "
        f"{len(failures)} failures, at most {most} MB"
    )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
