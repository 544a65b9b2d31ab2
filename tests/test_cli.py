"""The command `lamina`, as a person runs it: in a process of its own, and in this one where that says the same."""

from __future__ import annotations

import csv
import doctest
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import lamina as lm
from lamina import cli


def lamina(*arguments, cwd=None, env=None):
    """`python -m lamina ...`"""
    command = [sys.executable, "-m", "lamina", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env={**os.environ, **(env or {})}, timeout=120)


# ---- demo ----


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    return lamina("demo", cwd=folder, env={"CI": "1"}), folder / "lamina_demo"


def test_demo_reaches_97_percent(demo):
    done, _ = demo
    assert done.returncode == 0, done.stderr
    found = re.search(r"test accuracy (\d+\.\d) % \((\d+) of (\d+) held-out images\), trained in (\d+\.\d+) s", done.stdout)
    assert found, done.stdout
    assert int(found[3]) == 359
    assert float(found[1]) == round(100 * int(found[2]) / 359, 1)
    assert float(found[1]) >= 97.0


def test_demo_shows_the_network_and_its_progress(demo):
    done, folder = demo
    assert "dense_1" in done.stdout
    assert "epoch 100/100" in done.stderr
    assert "val_accuracy" in done.stderr
    assert f"saved {folder.name}{os.sep}digits.safetensors" in done.stdout
    assert f"as a picture: {folder.name}{os.sep}net.svg" in done.stdout and (folder / "net.svg").exists()
    assert "Traceback" not in done.stderr


def test_demo_saves_a_network_that_loads_and_is_as_good(demo):
    done, folder = demo
    net = lm.load(folder / "digits.safetensors")
    X, y = lm.datasets.digits()
    _, test = cli.split(y, cli.SPLIT_SEED)
    right = int((net.predict(X[test]).argmax(axis=1) == y[test]).sum())
    assert f"({right} of {len(test)} held-out images)" in done.stdout


def test_demo_saves_the_curve(demo):
    done, folder = demo
    with open(folder / "training_curve.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == [str(i) for i in range(1, 101)]
    assert set(rows[0]) == {"epoch", "loss", "accuracy", "val_loss", "val_accuracy"}
    assert float(rows[-1]["loss"]) < 0.1 < float(rows[0]["loss"])
    assert f"test accuracy {100 * float(rows[-1]['val_accuracy']):.1f} %" in done.stdout
    picture = ET.parse(folder / "training_curve.svg").getroot()
    assert len(list(picture.iter("{http://www.w3.org/2000/svg}polyline"))) == 4


def test_demo_says_how_to_go_on_from_a_folder_of_any_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["demo", "--epochs", "1", "--out", r"run\new"]) == 0
    loaded = eval(re.search(r"lm\.load\(.*\)", capsys.readouterr().out)[0], {"lm": lm})
    assert loaded.epochs_done == 1


def test_demo_takes_its_options_and_repeats_itself(tmp_path):
    runs = [lamina("demo", "--epochs", 2, "--seed", 7, "--threads", n, "--out", tmp_path / str(n), env={"CI": "1"}) for n in (1, 2)]
    assert all(run.returncode == 0 for run in runs), runs[0].stderr
    curves = [(tmp_path / name / "training_curve.csv").read_text(encoding="utf-8") for name in ("1", "2")]
    assert curves[0] == curves[1]
    assert len(curves[0].splitlines()) == 3
    assert "1 thread," in runs[0].stdout


def test_the_split_is_stratified_and_fixed():
    _, y = lm.datasets.digits()
    train, test = cli.split(y, cli.SPLIT_SEED)
    assert sorted([*train, *test]) == list(range(1797))
    assert len(test) == 359
    for c in range(10):
        assert abs((y[test] == c).sum() - (y == c).sum() / 5) <= 0.5
    assert not np.array_equal(test, np.arange(1438, 1797))
    assert np.array_equal(test, cli.split(y, cli.SPLIT_SEED)[1])


# ---- info, version, help ----


def test_info():
    done = lamina("info")
    assert (done.returncode, done.stderr) == (0, "")
    facts = dict(re.split(r"  +", line, maxsplit=1) for line in done.stdout.splitlines())
    assert facts["lamina"] == lm.__version__
    assert facts["instruction set"] == lm.isa()
    assert (facts["python"], facts["numpy"]) == (sys.version.split()[0], np.__version__)
    assert int(facts["threads"]) >= 1
    assert "compiler" in facts
    assert any("flags" in name for name in facts)


@pytest.mark.parametrize(
    ("arguments", "unbuffered"), [("info", ""), ("info", "1"), ("lesson 3 --show", ""), ("lesson 3 --show", "1"), ("--help", "")]
)
def test_a_reader_that_has_gone_is_no_error(arguments, unbuffered):
    """As head is after its lines; the code is that of a shell. What is short is written at the end, which was a complaint."""
    reader, writer = os.pipe()
    os.close(reader)
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    command = [sys.executable, "-m", "lamina", *arguments.split()]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, env=environment)
    os.close(writer)
    assert (done.returncode, done.stderr) == (128 + 13, b"")


def test_version_and_help(capsys):
    for arguments, said in (
        (["--version"], f"lamina {lm.__version__}"),
        (["--help"], "lamina demo --epochs 5"),
        (["demo", "--help"], "--threads"),
    ):
        with pytest.raises(SystemExit) as stop:
            cli.main(arguments)
        assert stop.value.code == 0
        assert said in capsys.readouterr().out


def test_the_command_is_installed():
    from importlib.metadata import entry_points

    (entry,) = entry_points(group="console_scripts", name="lamina")
    assert entry.load() is cli.main


# ---- wrong use ----


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "lamina demo --epochs 5"),  # the whole help
        ([], "lamina: error: the following arguments are required: command"),
        (["dmeo"], "invalid choice: 'dmeo'"),
        (["demo", "--epochs", "0"], "--epochs: expected a whole number >= 1, got '0'"),
        (["demo", "--epochs", "many"], "--epochs: expected a whole number >= 1, got 'many'"),
        (["demo", "--seed", "-1"], "--seed: expected a whole number >= 0, got '-1'"),
        (["demo", "--threads", "1.5"], "--threads: expected a whole number >= 1, got '1.5'"),
        (["demo", "--colour"], "unrecognized arguments: --colour"),
    ],
)
def test_wrong_use(arguments, said, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    assert said in capsys.readouterr().err


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("here first", encoding="utf-8")
    done = lamina("demo", "--out", tmp_path / "file")
    assert done.returncode == 2
    assert done.stderr.startswith("lamina: error: [demo] expected a path that can be written, got ")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_file_that_is_not_there(capsys):
    assert cli.main(["profile", "net.safetensors", "nowhere.npz"]) == 2
    assert "[profile nowhere.npz] expected a file that can be read, got: No such file" in capsys.readouterr().err


def test_an_interruption_has_no_traceback(monkeypatch, capsys, tmp_path):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "split", interrupted)
    assert cli.main(["demo", "--out", str(tmp_path)]) == 130
    assert capsys.readouterr().err == "lamina: interrupted\n"


def test_examples():
    result = doctest.testmod(cli, extraglobs={"lm": lm, "np": np})
    assert result.attempted > 0
    assert result.failed == 0


def test_profile_of_several_inputs_and_outputs_reads_arrays_of_their_names(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    left, right = lm.Input(3, name="left"), lm.Input(2, name="right")
    h = lm.Concatenate()(left, right)
    net = lm.Model([left, right], {"up": lm.Dense(2)(h), "down": lm.Dense(1)(h)}, seed=0).compile("mse", "sgd")
    net.save("net.safetensors", optimizer=True)
    arrays = {"left": np.ones((4, 3)), "right": np.ones((4, 2))}
    np.savez("x.npz", **arrays)
    np.savez("both.npz", **arrays, up=np.ones((4, 2)), down=np.ones((4, 1)))
    np.savez("half.npz", left=np.ones((4, 3)))
    assert cli.main(["profile", "net.safetensors", "x.npz", "--repeats", "1"]) == 0
    assert "predict, batch 4" in capsys.readouterr().out
    assert cli.main(["profile", "net.safetensors", "both.npz", "--repeats", "1", "--batch", "3"]) == 0
    assert "train_step, batch 3" in capsys.readouterr().out
    assert cli.main(["profile", "net.safetensors", "half.npz"]) == 2
    said = capsys.readouterr().err
    assert "[profile] expected arrays left, right and y in half.npz, got left" in said and "np.savez(path, left=left" in said


def test_profile_reads_no_more_than_numbers(tmp_path, monkeypatch, capsys):
    """A number, names as Python objects, X beside x: none of these is in the way."""
    monkeypatch.chdir(tmp_path)
    lm.Sequential(lm.Dense(1), seed=0).build(2).compile("mse", "sgd").save("net.safetensors")
    x, y = np.ones((6, 2), "float32"), np.ones((6, 1), "float32")
    np.savez("rich.npz", X=x[:, :1], x=x, y=y, scale=16.0, names=np.array(["a", None], object))
    assert cli.main(["profile", "net.safetensors", "rich.npz", "--repeats", "1"]) == 0
    assert "batch 6" in capsys.readouterr().out
    np.savez("objects.npz", x=np.array([[None, 1.0]], object), y=y)
    assert cli.main(["profile", "net.safetensors", "objects.npz"]) == 2
    assert "[profile] expected arrays of numbers in objects.npz" in capsys.readouterr().err
    np.savez("scalar.npz", x=1.0, y=y)
    assert cli.main(["profile", "net.safetensors", "scalar.npz"]) == 2
    assert "lamina: error: [x] expected shape" in capsys.readouterr().err
