"""Files that nobody vouches for: a stored corpus and a bounded run of the fuzzer, in processes of limited memory."""

from __future__ import annotations

import copy
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fuzz_files
import lamina as lm
from lamina import _core as core
from lamina.storage import io

CORPUS = sorted((Path(__file__).parent / "data" / "hostile").glob("*.safetensors"))
FILES = 2500  # of the fuzzer, here; tests/fuzz_files.py runs as many as one likes


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> tuple:
    """(header, description, tensors' bytes) of a small network."""
    path = tmp_path_factory.mktemp("plain") / "net.safetensors"
    lm.Sequential(lm.Dense(8, "relu"), lm.Dense(3), seed=0).build(4).compile("cross_entropy", "adam").save(path)
    return fuzz_files.split(path.read_bytes())


def limited(code: str, *arguments: object, room: int = 1 << 30, **environment: str) -> subprocess.CompletedProcess:
    """Runs code in a process that gets `room` bytes more than it holds after its imports."""
    start = "import sys, numpy as np, lamina as lm, fuzz_files\nfuzz_files.ROOM = int(sys.argv.pop(1))\n"
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    command = [sys.executable, "-c", start + code, str(room), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": paths} | environment)


# ---- the fuzzer ------------------------------------------------------------------------------------------------------------------


def test_the_seeds_of_the_fuzzer_are_valid(tmp_path):
    for k, data in enumerate(fuzz_files.seeds(tmp_path)):
        (tmp_path / f"{k}.safetensors").write_bytes(fuzz_files.join(*fuzz_files.split(data)))
        assert fuzz_files.outcome(tmp_path / f"{k}.safetensors") == ("loaded" if k == 2 else "ran")  # 2: not built


def test_a_mutation_repeats_by_its_number(tmp_path):
    files = fuzz_files.seeds(tmp_path)
    one, two = fuzz_files.Mutator(files), fuzz_files.Mutator(files)
    several = [one(5, k) for k in range(40)]
    assert several == [two(5, k) for k in range(40)] and len(set(several)) > 35


def test_mutated_files():
    script = Path(fuzz_files.__file__)
    done = subprocess.run(
        [sys.executable, str(script), "--files", str(FILES), "--seed", "2024"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert f"{FILES} files" in done.stdout and "'ran'" in done.stdout


# ---- the corpus ------------------------------------------------------------------------------------------------------------------


def test_the_corpus_is_refused():
    """One process for all: none may crash it."""
    assert len(CORPUS) > 30
    code = (
        "from pathlib import Path\nfuzz_files.limit_memory()\n"
        "for path in sys.argv[1:]: print(Path(path).stem, fuzz_files.outcome(Path(path)), flush=True)"
    )
    done = limited(code, *CORPUS)
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    found = dict(line.split() for line in done.stdout.splitlines())
    assert set(found) == {p.stem for p in CORPUS}
    accepted = {name for name, what in found.items() if what != "refused"}
    assert accepted == {name for name in found if name.startswith("loads_")}


# ---- too large to be stored ------------------------------------------------------------------------------------------------------


def long_text(*keys):
    def change(description):
        for key in keys[:-1]:
            description = description[key]
        description[keys[-1]] = "a" * 4_000_000

    return change


def chain(op: str, inputs: int, **attrs):
    """4,000 operations one after the other."""

    def change(description):
        (name, last), *_ = description["outputs"].items()
        first = len(description["nodes"])
        for k in range(4000):
            description["nodes"].append({"op": op, "in": [last] * inputs, "attrs": attrs})
            last = first + k
        description["outputs"] = {name: last}

    return change


LARGE = {
    "class": long_text("layers", 0, "class"),
    "operation": long_text("nodes", 3, "op"),
    "activation": long_text("layers", 0, "config", "activation"),
    "loss": long_text("objective", "loss"),
    "optimizer": long_text("objective", "optimizer"),
    "dtype": long_text("nodes", 0, "dtype"),
    "parameter": long_text("nodes", 1, "parameter"),
    "axes": lambda d: d["nodes"][0].update(shape=[1] * 500_000),
    "symbols": lambda d: d["nodes"][0].update(shape=[{"dim": f"Q{i}"} for i in range(50_000)]),
    "header": lambda d: d.update(more="x" * (io.MOST_HEADER + 1)),
    "digits": lambda d: d.update(seed=-(10**4000)),
}


@pytest.mark.parametrize("name", LARGE)
def test_megabytes_in_the_description(name, plain, tmp_path):
    header, description, body = copy.deepcopy(plain)
    LARGE[name](description)
    path = tmp_path / "net.safetensors"
    path.write_bytes(fuzz_files.join(header, description, body))
    if name == "class":  # a layer whose code is not in the file may be called anything
        assert fuzz_files.outcome(path) == "ran"
    else:
        assert fuzz_files.outcome(path) == "refused"


@pytest.mark.parametrize(
    "stack", [[], [0], [0, 9], [-1, 0], [True, 0], "01", {}, None, [0, 1] * 300_000], ids=lambda v: f"{v!r:.12}"
)
def test_a_stack_that_is_none(stack, plain, tmp_path):
    """The layers of a Sequential: all that are called, each one that there is."""
    header, description, body = copy.deepcopy(plain)
    assert description["stack"] == [0, 1]
    path = tmp_path / "net.safetensors"
    path.write_bytes(fuzz_files.join(header, description | {"stack": stack}, body))
    assert fuzz_files.outcome(path) == "refused"
    del description["stack"]  # as in files of before
    path.write_bytes(fuzz_files.join(header, description, body))
    assert len(lm.load(path).layers) == 2


@pytest.mark.parametrize("op", ["neg", "add", "transpose", "reshape", "slice", "softmax", "concatenate"])
def test_long_chains(op, plain, tmp_path):
    """Nothing recurses from node to node."""
    attrs = {
        "transpose": {"axes": [0, 1]},
        "reshape": {"shape": [{"dim": "B"}, 3]},
        "slice": {"start": [0, 0], "stop": [{"dim": "B"}, 3], "step": [1, 1]},
        "concatenate": {"axis": 0},
    }
    header, description, body = copy.deepcopy(plain)
    inputs = {"add": 2}.get(op, 1)
    chain(op, inputs, **attrs.get(op, {}))(description)
    path = tmp_path / "net.safetensors"
    path.write_bytes(fuzz_files.join(header, description, body))
    assert lm.load(path).predict(np.ones((2, 4), np.float32)).shape == (2, 3)


def test_terabytes_that_the_file_system_pretends_to_have(plain, tmp_path):
    header, description, _ = copy.deepcopy(plain)
    description["parameters"][0]["shape"] = [4, 10**11]
    at = 0
    for item in description["parameters"]:
        size = 4 * int(np.prod(item["shape"]))
        header[item["name"]] = {"dtype": "F32", "shape": item["shape"], "data_offsets": [at, at + size]}
        at += size
    path = tmp_path / "net.safetensors"
    start = fuzz_files.join({k: v for k, v in header.items() if not k.startswith("~")}, description, b"")
    with open(path, "wb") as file:
        file.write(start)
        try:
            file.truncate(len(start) + at)
        except OSError:
            return  # a file system that pretends nothing
    done = limited("fuzz_files.limit_memory()\ntry: lm.load(sys.argv[1])\nexcept MemoryError as e: print(e)", path)
    assert done.returncode == 0 and "net.safetensors" in done.stdout, done.stderr[-2000:]


@pytest.mark.parametrize("error", [MemoryError("no room"), OSError("Cannot allocate memory (os error 12)")])
def test_a_file_that_cannot_be_mapped_is_named(tmp_path, monkeypatch, error):
    """What safetensors raises depends on its version."""
    path = tmp_path / "net.safetensors"
    lm.Sequential(lm.Dense(2), seed=0).build(3).save(path)

    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(io, "safe_open", refuse)
    with pytest.raises(MemoryError, match=r"\[load .*net\.safetensors\] expected room for the tensors of this file, got none"):
        lm.load(path)


def test_pipes_and_devices(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(ValueError, match=path.name):
            lm.load(path)


def test_a_network_too_large_to_be_read_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(io, "MOST_HEADER", 100)
    net = lm.Sequential(lm.Dense(2)).build(3)
    with pytest.raises(ValueError, match=r"with a header of at most 100 bytes, got one of \d+"):
        net.save(tmp_path / "net.safetensors")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match=r"\[save\].*header"):
        pickle.dumps(net)


def test_a_network_that_asks_for_terabytes_is_a_memory_error_when_it_runs(plain, tmp_path):
    """The file is small and fits together: what it asks for is known when it runs, and told by name."""
    header, description, body = copy.deepcopy(plain)
    nodes, (name,) = description["nodes"], description["outputs"]
    grow = {"op": "broadcast_to", "in": [len(nodes) - 1], "attrs": {"shape": [10**12, {"dim": "B"}, 3]}}
    description["nodes"] = [*nodes, grow, {"op": "exp", "in": [len(nodes)]}]
    description["outputs"] = {name: len(nodes) + 1}
    path = tmp_path / "net.safetensors"
    path.write_bytes(fuzz_files.join(header, description, body))
    net = lm.load(path)
    with pytest.raises(MemoryError, match=r"\[exp, float32 \(1000000000000, 2, 3\)\] expected 24000000000000 bytes"):
        net.programs.predict().run([np.ones((2, 4), np.float32)])


# ---- what the core refuses by itself ---------------------------------------------------------------------------------------------

X = core.make("input", [], {"shape": [None, 4], "dtype": "float32"})
INDICES = core.make("input", [], {"shape": [2], "dtype": "int64"})
TRUTHS = core.make("input", [], {"shape": [2], "dtype": "bool"})
REFUSED = {
    "negative size": ("input", [], {"shape": [-1], "dtype": "float32"}),
    "size of 2^62": ("input", [], {"shape": [2**62], "dtype": "float32"}),
    "lowest size": ("input", [], {"shape": [-(2**63)], "dtype": "float32"}),
    "many axes": ("input", [], {"shape": [1] * 65, "dtype": "float32"}),
    "cut below nothing": ("pad", [INDICES], {"low": [-5], "high": [0], "interior": [0]}),
    "pad beyond": ("pad", [INDICES], {"low": [2**62 - 1], "high": [2**62 - 1], "interior": [0]}),
    "interior beyond": ("pad", [INDICES], {"low": [0], "high": [0], "interior": [2**63 - 1]}),
    "lowest step": ("slice", [INDICES], {"start": [0], "stop": [2], "step": [-(2**63)]}),
    "axis -1 of take": ("take", [X, INDICES], {"axis": -1}),
    "axis -1 of scatter_add": ("scatter_add", [INDICES, X], {"axis": -1, "size": [3]}),
    "no size of scatter_add": ("scatter_add", [INDICES, INDICES], {"axis": 0, "size": []}),
    "truths in scatter_add": ("scatter_add", [INDICES, TRUTHS], {"axis": 0, "size": [3]}),
    "whole random numbers": ("random_uniform", [INDICES], {"shape": [3], "dtype": "int64", "stream": 0}),
    "random numbers of no stream": ("random_uniform", [INDICES], {"shape": [3], "dtype": "float32"}),
    "an activation without its parameter": ("elu", [X], {}),
    "an activation with two": ("elu", [X], {"params": [1.0, 2.0]}),
    "a variable that is none": ("variable", [], {"variable": None}),
    "a name of megabytes": ("a" * 10**6, [X], {}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_core_checks_attributes(name):
    with pytest.raises((ValueError, TypeError)) as raised:
        core.make(*REFUSED[name])
    assert len(str(raised.value)) < 1000


@pytest.mark.parametrize("take", [core.pack, core.read, core.Snapshot, core.Section, lambda none: core.write(none, [1.0])])
def test_none_is_no_variable(take):
    with pytest.raises(TypeError, match=r"\[variables\] expected variables, got None among them"):
        take([None])


def test_sizes_that_only_a_batch_makes_wrong():
    rest = core.make("slice", [X], {"start": [3, 0], "stop": [core.dim("B"), 4], "step": [1, 1]})
    lost = core.make("fill", [], {"shape": [core.dim("no_input_has_it")], "value": 0.0, "dtype": "float32"})
    wide = core.make("fill", [], {"shape": [core.dim("B") * 2**61], "value": 0.0, "dtype": "float32"})
    for node, word in ((rest, "batch"), (lost, "no_input_has_it"), (wide, "memory")):
        program = core.Program([X], [node])
        with pytest.raises(ValueError, match=word):
            program.run([np.ones((2, 4), np.float32)] if node is not wide else [np.ones((4, 4), np.float32)])
    assert core.Program([X], [rest]).run([np.ones((5, 4), np.float32)])[0].shape == (2, 4)


def test_a_key_given_twice(plain, tmp_path):
    header, description, body = plain
    text = json.dumps(description)
    path = tmp_path / "net.safetensors"
    path.write_bytes(fuzz_files.join(header, text[:-1] + ', "seed": 1}', body))
    with pytest.raises(ValueError, match=r"got something else \(a key is given twice\); the file is damaged"):
        lm.load(path)


@pytest.mark.parametrize("name", ["forward", "__class__", "built", "_parameters", "a b", "activation"])
def test_a_parameter_never_takes_the_place_of_a_method(name, plain, tmp_path):
    header, description, body = copy.deepcopy(plain)
    description["layers"][0]["parameters"] = {name: "dense_1.weight"}
    path = tmp_path / "net.safetensors"
    path.write_bytes(fuzz_files.join(header, description, body))
    with pytest.raises(ValueError, match="parameter's name"):
        lm.load(path)


@pytest.mark.parametrize("name", ["~random/random_1", "~optimizer/clock", "~optimizer/dense_1.weight.exp_avg"])
def test_a_state_of_another_type(name, tmp_path):
    net, path = lm.Sequential(lm.Dropout(0.5), lm.Dense(1), seed=0).build(2).compile("mse", "adam"), tmp_path / "net.safetensors"
    net.save(path, optimizer=True)
    header, description, body = fuzz_files.split(path.read_bytes())
    header[name]["dtype"] = {"I64": "F64", "F64": "I64", "F32": "I32"}[header[name]["dtype"]]
    path.write_bytes(fuzz_files.join(header, description, body))
    with pytest.raises(ValueError, match=r"expected (int64|float32|float64) \(.*, got (int32|int64|float64)"):
        lm.load(path)
