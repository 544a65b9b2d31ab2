"""net.draw: colours and signs of cells, large matrices, images, what is no number; PNG by hand."""

from __future__ import annotations

import base64
import re
import struct
import zlib
from itertools import combinations
from xml.etree import ElementTree

import numpy as np
import pytest

import lamina as lm
from lamina.draw import HEIGHT, WIDTH, picture
from lamina.draw.canvas import Box, Canvas
from lamina.draw.chain import layers
from lamina.draw.heatmap import grey, heatmap, scale_of, shrunk
from lamina.draw.network import NOT_A_NUMBER
from lamina.draw.png import encode
from lamina.draw.theme import THEMES
from nets import data
from pictures import SIZES, frame, narrow, neurons, wide


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_colours_are_symmetric_about_zero(theme):
    ramp = theme.ramp()
    assert len(ramp) == 255 and theme.colour(0.0) == theme.neutral
    for level in (0.1, 0.5, 1.0):
        step = round(level * 127)
        assert "#" + bytes(ramp[127 + step]).hex() == theme.colour(step / 127)
        assert "#" + bytes(ramp[127 - step]).hex() == theme.colour(-step / 127)
    assert theme.colour(5.0) == theme.colour(1.0)


def test_a_large_matrix_keeps_the_largest_of_each_block():
    m = np.zeros((100, 90))
    m[57, 33] = -7.0
    small = shrunk(m, 10, 9)
    assert small.shape == (10, 9) and small[5, 3] == -7.0 and np.count_nonzero(small) == 1


def test_scale_is_the_99th_percentile_and_never_0():
    values = np.arange(-100.0, 101.0)
    assert scale_of(values) == np.percentile(np.abs(values), 99)
    assert scale_of(np.eye(1, 10)) == 1.0 and scale_of(np.arange(-98.0, 1.0)) == 98.0  # of few values none is cut off
    assert scale_of(np.zeros(4)) == 1.0 and scale_of(np.array([np.nan, np.inf])) == 1.0
    rare = np.zeros(1000)
    rare[3] = -2.0
    assert scale_of(rare) == 2.0


def test_values_that_are_not_finite_are_crossed_out(tmp_path):
    net, x, _ = narrow()
    x[0, 1] = np.nan
    canvas, _ = picture(net, x)
    assert sum(bool(re.match(r'<path d="M[^"m]*m0 -[^"]*" fill="none" stroke="#', part)) for part in canvas.parts) == 4  # X to P
    ElementTree.fromstring(canvas.svg("t", "d"))


@pytest.mark.parametrize("where", [(0, 0), (slice(None), slice(None))], ids=["one", "all"])
@pytest.mark.parametrize("size", ["4-8-3", "784-128-10", "784 not an image"])
def test_weights_that_are_not_numbers_are_seen(size, where):
    """Their links had a colour of 51 digits, and no width."""
    net, x, y = SIZES[size]()
    net.build(x.shape[1])
    weights = net.parameters["dense_1.weight"].copy()
    weights[where] = np.nan
    net.parameters["dense_1.weight"] = weights
    canvas, _ = picture(net, x, y)
    assert canvas.overlapping() == []
    links = [part for part in canvas.parts if part.startswith("<path") and NOT_A_NUMBER in part]
    assert links and all(f'stroke="{canvas.theme.ink}"' in part for part in links)
    for part in canvas.parts:
        if part.startswith("<path"):
            assert "nan" not in part and re.search('="#[0-9a-f]{6}"', part), part


def test_gradients_that_are_all_infinite_have_no_scale():
    """A scale of ±1 stood under them."""
    net = lm.Sequential(lm.Dense(2), seed=0).compile("mse", "sgd")
    texts = [t.text for t in picture(net, np.full((2, 3), 1e20), np.full((2, 2), 1e30))[0].labels]
    assert texts.count("not finite") == 1 and "±1" not in texts


def test_an_image_that_has_no_number_somewhere_is_crossed_out_there():
    x = np.random.default_rng(0).random((2, 4, 6))
    net = lm.Sequential(lm.Flatten(), lm.Dense(3), seed=0)
    crosses = [
        sum("l8 8m0 -8l-8 8" in part for part in picture(net, given)[0].parts)
        for given in (x, np.where(x == x[0, 1, 2], np.nan, x))
    ]
    assert crosses == [0, 1]


def test_neurons_that_are_read_in_part_are_no_line_of_columns():
    a = lm.Input(6)
    h = lm.Dense(4)(a)
    for output in (lm.Dense(2)(h[:, :2]), lm.Dense(3)(h)[:, :2] + lm.Dense(2)(h)):
        assert layers(lm.Model(a, output, seed=0).trace(data()[:, :6])) == []


def colours(part):
    """Of the pixels of an embedded picture, row by row."""
    file = base64.b64decode(re.search('base64,([^"]*)', part)[1])
    at, chunks = 8, {}
    while at < len(file):
        size, kind = struct.unpack(">I4s", file[at : at + 8])
        chunks[kind] = file[at + 8 : at + 8 + size]
        at += 12 + size
    columns, rows = struct.unpack(">II", chunks[b"IHDR"][:8])
    indices = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(rows, columns + 1)[:, 1:]
    return [f"#{bytes(colour).hex()}" for colour in np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(-1, 3)[indices.ravel()]]


@pytest.mark.parametrize("n", [3, 40])
@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_a_cell_has_the_colour_and_the_sign_of_its_value(theme, n):
    matrix = np.zeros((n, n))
    matrix[0, 1], matrix[1, 0], matrix[2, 2] = 2.0, -2.0, 1.0
    canvas = Canvas(WIDTH, HEIGHT, theme)
    heatmap(canvas, Box(0, 0, 80, 80), matrix, "M")
    cells = [re.search('fill="([^"]*)"', part)[1] for part in canvas.parts if "data-v" in part]
    cells = cells or colours(next(part for part in canvas.parts if part.startswith("<image")))
    assert (
        cells[:2] == [theme.neutral, theme.colour(1.0)]
        and cells[n] == theme.colour(-1.0)
        and cells[2 * n + 2] == theme.colour(64 / 127 if n == 40 else 0.5)
        and cells.count(theme.neutral) == n * n - 3
    )
    signs = [re.search('stroke="([^"]*)"', part)[1] for part in canvas.parts if 'opacity="0.75"' in part]
    assert signs == [theme.paper, theme.paper, theme.ink] * (n == 3)  # each seen on its colour


@pytest.mark.parametrize("value", [-9.0, 9.0])
def test_what_is_beyond_the_scale_is_marked(value):
    matrix = np.ones((20, 10))
    matrix[3, 4] = value
    canvas = Canvas(WIDTH, HEIGHT, THEMES["light"])
    heatmap(canvas, Box(0, 0, 100, 200), matrix, "M")
    assert [part.split('"')[1] for part in canvas.parts if "h3.5v3.5" in part] == ["M45.0 31.5h3.5v3.5"]


def test_lines_between_small_cells_do_not_hide_them():
    """A browser draws none thinner than a pixel: the weights beside a neuron, of a pixel each, were white."""
    net, x, y = wide()
    parts = picture(net, x, y)[0].parts
    tiles = [colours(after) for part, after in zip(parts, parts[1:], strict=False) if 'data-name="W1[:,' in part]
    assert len(tiles) == 8 and all(len({*tile}) > 20 for tile in tiles)
    places = [frame(after) for part, after in zip(parts, parts[1:], strict=False) if 'data-name="W1[:,' in part]
    assert not any(a.overlaps(b) for a, b in combinations(places + neurons(picture(net, x, y)[0]), 2))
    for part in parts:
        if "data-v" in part:
            assert min(float(side) for side in re.findall(r'(?:width|height)="([^"]*)"', part)[:2]) >= 2


def test_an_image_goes_from_the_papers_end_to_the_inks():
    canvas = Canvas(WIDTH, HEIGHT, THEMES["light"])
    grey(canvas, Box(0, 0, 80, 80), np.array([[5.0, 6.0], [9.0, np.nan]]), "X")
    assert colours(canvas.parts[0]) == ["#f4f5f7", "#bbbdc0", "#14181d", "#f4f5f7"]


def test_png_by_hand():
    indices = np.array([[0, 1], [2, 0], [1, 1]], dtype=np.uint8)
    palette = np.array([[0, 0, 0], [255, 0, 0], [0, 0, 255]], dtype=np.uint8)
    file = encode(indices, palette)
    at, chunks = 8, {}
    while at < len(file):
        size, kind = struct.unpack(">I4s", file[at : at + 8])
        body = file[at + 8 : at + 8 + size]
        assert struct.unpack(">I", file[at + 8 + size : at + 12 + size])[0] == zlib.crc32(kind + body)
        chunks[kind] = body
        at += 12 + size
    assert struct.unpack(">IIBBBBB", chunks[b"IHDR"]) == (2, 3, 8, 3, 0, 0, 0)
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(3, 3)
    np.testing.assert_array_equal(rows[:, 1:], indices)
    assert chunks[b"PLTE"] == palette.tobytes()
