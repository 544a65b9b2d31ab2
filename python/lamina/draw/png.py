"""A PNG with a palette, from a matrix of indices: zlib and struct are all it takes."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray


def encode(indices: NDArray[np.uint8], palette: NDArray[np.uint8]) -> bytes:
    """The file's bytes: 8 bits a pixel, at most 256 colours.

    >>> encode(np.zeros((1, 1), np.uint8), np.zeros((1, 3), np.uint8))[1:4]
    b'PNG'
    """
    height, width = indices.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), indices.astype(np.uint8)], axis=1)  # a filter byte 0 before each row
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    chunks = (
        (b"IHDR", header),
        (b"PLTE", palette.astype(np.uint8).tobytes()),
        (b"IDAT", zlib.compress(rows.tobytes(), 9)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def uri(indices: NDArray[Any], palette: NDArray[np.uint8]) -> str:
    """The picture as a data URI, which needs no second file."""
    return "data:image/png;base64," + base64.b64encode(encode(indices.astype(np.uint8), palette)).decode()
