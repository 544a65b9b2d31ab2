"""net.draw: files, formats, names, bad input; looked at in a browser where one is installed."""

from __future__ import annotations

import base64
import importlib.util
import json
import re
import shutil
import struct
import subprocess
from html import unescape
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import lamina as lm
from lamina.base import plots
from lamina.draw import HEIGHT, WIDTH, picture
from lamina.draw.heatmap import as_matrix, scale_of
from lamina.draw.theme import THEMES
from nets import data
from pictures import ALL, SIZES, SVG, narrow, wide

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def test_the_file_is_svg_with_a_title_and_a_description(tmp_path):
    net, x, y = narrow()
    net.draw(tmp_path / "net.svg", x, y)
    root = ElementTree.parse(tmp_path / "net.svg").getroot()
    assert root.tag == f"{SVG}svg" and root.get("viewBox") == "0 0 1600 1000" and root.get("role") == "img"
    assert "4 → 8 → 3" in root.find(f"{SVG}title").text
    assert "Loss" in root.find(f"{SVG}desc").text
    assert not root.findall(f".//{SVG}script")


def test_numbers_in_the_picture_are_the_cores(tmp_path):
    net, x, y = narrow()
    net.draw(tmp_path / "net.svg", x, y)
    made = net.trace(x, y)
    groups = {g.get("data-name"): g for g in ElementTree.parse(tmp_path / "net.svg").iter(f"{SVG}g") if g.get("data-name")}
    assert set(groups) == {
        "X", "W1", "b1", "Z1", "A1", "W2", "b2", "Z2", "P", "Y", "dW1", "db1", "dZ1", "dA1", "dW2", "db2", "dZ2"
    }  # fmt: skip
    for name, group in groups.items():
        shown = np.array([float(cell.get("data-v")) for cell in group.iter(f"{SVG}rect") if cell.get("data-v")])
        if name != "Y":
            np.testing.assert_allclose(shown, made[name].ravel(), rtol=1e-6, err_msg=name)
            assert float(group.get("data-scale")) == pytest.approx(scale_of(as_matrix(made[name])))


def test_a_picture_changes_nothing():
    net, x, y = narrow()
    before = {name: value.copy() for name, value in net.parameters.items()}
    picture(net, x, y)
    for name, value in net.parameters.items():
        np.testing.assert_array_equal(value, before[name])


def test_names_of_the_user_are_escaped(tmp_path):
    net = lm.Sequential(lm.Dense(2).named("<&>"), lm.LayerNorm().named('"a" <b>'), seed=0).compile("mse", "sgd")
    net.draw(tmp_path / "net.svg", data(), data()[:, :2])
    written = "".join(ElementTree.parse(tmp_path / "net.svg").getroot().itertext())
    assert '2 neurons, "a" <b>' in written


def test_png_and_pdf(tmp_path):
    net, x, y = narrow()
    if importlib.util.find_spec("typst") is None:
        with pytest.raises(ValueError, match=r"lamina\[draw\]"):
            net.draw(tmp_path / "net.png", x, y)
        pytest.skip("typst is not installed (pip install 'lamina[draw]'): no PNG and no PDF was made")
    net.draw(tmp_path / "net.png", x, y)
    net.draw(tmp_path / "net.pdf", x, y, theme="dark")
    png = (tmp_path / "net.png").read_bytes()
    assert png[:4] == b"\x89PNG" and struct.unpack(">II", png[16:24]) == (2 * WIDTH, 2 * HEIGHT)
    assert (tmp_path / "net.pdf").read_bytes()[:4] == b"%PDF"


def test_bad_input(tmp_path):
    net, x, y = narrow()
    with pytest.raises(ValueError, match=r"\.svg, \.png, \.pdf"):
        net.draw(tmp_path / "net.jpg", x, y)
    with pytest.raises(ValueError, match=r"\[draw: theme\] unknown name 'lihgt'; did you mean 'light'"):
        net.draw(tmp_path / "net.svg", x, y, theme="lihgt")
    with pytest.raises(FileNotFoundError, match=r"\[draw\] expected a path that can be written, got .*; make its folder"):
        net.draw(tmp_path / "missing" / "net.svg", x, y)
    (tmp_path / "folder.svg").mkdir()
    with pytest.raises(IsADirectoryError, match="pass another path"):
        net.draw(tmp_path / "folder.svg", x, y)
    with pytest.raises(FileNotFoundError, match=r"\[trace\].*make its folder"):
        net.trace(x, y).to_json(tmp_path / "missing" / "trace.json")
    for call in (net.draw, net.trace, net.inspect, net.explain):
        first = (tmp_path / "net.svg",) if call == net.draw else ()
        with pytest.raises(ValueError, match="expected a target of shape"):
            call(*first, x, np.ones((2, 5)))
    with pytest.raises(ValueError, match=r"\[Sequential\] expected a loss and an optimizer, got none; call net.compile"):
        lm.Sequential(lm.Dense(1)).draw(tmp_path / "net.svg", x, y)
    for nothing, said in (((None, y), "data beside y, got None"), ((x[:0],), "at least one row to show, got none")):
        with pytest.raises(ValueError, match=rf"\[draw\] expected {said}; pass some rows"):
            net.draw(tmp_path / "net.svg", *nothing)
    with pytest.raises(ValueError, match="has seen no data"):
        lm.Sequential(lm.Dense(1)).draw(tmp_path / "net.svg")


def test_without_data_it_is_one_sample_of_ones(tmp_path):
    words, a, b = lm.Input(4, dtype="int64"), lm.Input(2), lm.placeholder((None, "T", 3))
    several = lm.Concatenate()(lm.Flatten()(lm.Embedding(5, 2)(words)), lm.Dense(2)(a), lm.sum(lm.Dense(2, "tanh")(b), 1))
    for net in (narrow()[0], wide()[0].build(784), lm.Model([words, a, b], lm.Dense(1)(several), seed=0)):
        net.draw(tmp_path / "net.svg")
        text = (tmp_path / "net.svg").read_text(encoding="utf-8")
        assert "no data: an input of ones" in text and "net.draw(&quot;net.svg&quot;)" in text.replace(
            '"net.svg"', "&quot;net.svg&quot;"
        )
    ones = lm.Sequential(lm.Dense(1), seed=0).build(3)
    assert np.array_equal(picture(ones)[1]["X"], np.ones((1, 3)))
    fixed = lm.placeholder((4, 3))  # as many as it takes
    assert np.array_equal(picture(lm.Model(fixed, lm.Dense(1)(fixed)))[1]["X"], np.ones((4, 3)))


def test_a_missing_renderer_names_the_extra(tmp_path, monkeypatch):
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("lamina.draw.render.importlib.import_module", missing)
    net, x, y = narrow()
    for suffix in ("png", "pdf"):
        with pytest.raises(ValueError, match=r"pip install 'lamina\[draw\]'"):
            net.draw(tmp_path / f"net.{suffix}", x, y)


LOOK = """<pre id="out"></pre><script>
const rows = [...document.querySelectorAll("svg text")].map(t => {
  const b = t.getBoundingClientRect();
  const sizes = [t, ...t.querySelectorAll("tspan")].filter(e => e.textContent).map(e => parseFloat(getComputedStyle(e).fontSize));
  return [t.textContent, b.x, b.y, b.width, b.height, Math.min(...sizes)];
});
document.getElementById("out").textContent = "<<" + JSON.stringify(rows) + ">>";</script>"""
ASCENT = 3  # px of a text's box that hold no ink: boxes are as high as the font's tallest letter


def browser() -> str:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser was found (looked for {', '.join(BROWSERS)}): the picture was not laid out by a real one")
    return found


@pytest.mark.parametrize("name", [*SIZES, "branches", "layer BatchNorm()"])
def test_in_a_browser_no_labels_overlap_and_none_is_small(name, tmp_path):
    program = browser()
    net, x, y = ALL[name]()
    net.draw(tmp_path / "net.svg", x, y)
    page = Path(tmp_path / "net.html")
    page.write_text(f"<!doctype html><meta charset=utf-8><body style='margin:0'>{(tmp_path / 'net.svg').read_text()}{LOOK}")
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile", "--dump-dom"]
    out = subprocess.run([program, *options, str(page)], capture_output=True, text=True, timeout=120).stdout
    found = re.search("<<(.*?)>>", unescape(out[out.index('id="out"') :]), re.S)
    assert found, out[-500:]
    rows = json.loads(found.group(1))
    assert len(rows) > 30 and min(row[5] for row in rows) >= 11
    for i, (text, x0, y0, w, h, _) in enumerate(rows):
        assert x0 >= 0 and x0 + w <= WIDTH and y0 + h <= HEIGHT, text
        for other, x1, y1, w1, h1, _ in rows[i + 1 :]:
            across, down = min(x0 + w, x1 + w1) - max(x0, x1), min(y0 + h, y1 + h1) - max(y0, y1)
            assert across <= 1 or down <= ASCENT, (text, other)


def test_embedded_rasters_are_palette_pngs(tmp_path):
    net, x, y = wide()
    net.draw(tmp_path / "net.svg", x, y)
    images = ElementTree.parse(tmp_path / "net.svg").iter(f"{SVG}image")
    for image in images:
        assert base64.b64decode(image.get("href").removeprefix("data:image/png;base64,"))[:4] == b"\x89PNG"


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("name", ["a long name {}", "{}"])
def test_names_of_classes_do_not_overlap(own, name):
    matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not installed: nothing was plotted")
    matplotlib.use("Agg")
    pyplot = plots.pyplot()
    figure = pyplot.figure(figsize=(8, 8))
    y, labels = np.arange(12), [name.format(i) for i in range(12)]
    ax = lm.metrics.plot_confusion(y, y, labels=labels, ax=figure.add_subplot() if own else None)
    ax.figure.draw_without_rendering()
    shown = ax.get_xticklabels()
    turned = {(label.get_rotation(), label.get_ha()) for label in shown}
    assert turned == ({(45.0, "right")} if name != "{}" else {(0.0, "center")})
    if name == "{}":
        boxes = [label.get_window_extent() for label in shown]
        assert all(a.x1 < b.x0 for a, b in zip(boxes, boxes[1:], strict=False))
    assert own or ax.xaxis.label.get_window_extent().y0 > 0  # what is below the names is in the picture
    pyplot.close("all")


@pytest.mark.parametrize("theme", THEMES)
def test_the_command_under_a_picture_draws_it_again(theme):
    canvas, _ = picture(lm.Sequential(lm.Dense(2), seed=0).build(3), np.ones((1, 3)), theme=theme, path="it.svg")
    command = next(label.text for label in canvas.labels if label.text.startswith("net.draw("))
    assert command == ('net.draw("it.svg", x)' if theme == "light" else f'net.draw("it.svg", x, theme="{theme}")')
