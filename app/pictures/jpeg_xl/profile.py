"""ICC profiles (ICC.1:2022) of the colors that a JPEG XL names by numbers."""

import struct

import numpy as np
from numpy.typing import NDArray

from app.pictures.jpeg_xl.header import Colors, Point

Floats = NDArray[np.float64]

D50_XYZ = np.array([0.9642, 1.0, 0.8249])  # the white of all profiles
BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
"""XYZ to the responses of cones, in which whites are adapted (ICC.1:2022, annex E)."""

LINEAR, DCI = 8, 17  # transfers; the others, of PQ and HLG apart, are shown as sRGB
GAMMAS = {LINEAR: 1.0, DCI: 2.6}
SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)  # parametric curve of kind 3
HEADER_BYTES = 128
VERSION = 0x04400000


def color_profile(colors: Colors) -> bytes | None:
    """The profile of these colors; None if no light has their chromaticities."""
    curve = _curve(colors)
    if colors.is_grey:
        return _profile(b"GRAY", {b"kTRC": curve})
    try:
        columns = _to_d50(colors).T
    except (np.linalg.LinAlgError, ZeroDivisionError):
        return None
    tags = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True):
        if np.abs(column).max() >= 2:  # no real color
            return None
        tags[name] = _xyz_tag(column)
    return _profile(b"RGB ", tags)


def _to_d50(colors: Colors) -> Floats:
    """Linear RGB to XYZ under D50, shape (3, 3)."""
    white = _xyz(colors.white)
    primaries = np.array([_xyz(point) for point in colors.primaries]).T
    scaled = primaries * np.linalg.solve(primaries, white)
    cones = (BRADFORD @ D50_XYZ) / (BRADFORD @ white)
    adapted: Floats = np.linalg.inv(BRADFORD) @ np.diag(cones) @ BRADFORD @ scaled
    return adapted


def _xyz(point: Point) -> Floats:
    x, y = point
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _curve(colors: Colors) -> bytes:
    gamma = colors.gamma or GAMMAS.get(colors.transfer)
    numbers, kind = (SRGB_CURVE, 3) if gamma is None else ((min(gamma, 100.0),), 0)
    return b"para" + struct.pack(">LHH", 0, kind, 0) + b"".join(map(_fixed, numbers))


def _xyz_tag(values: Floats) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(map(_fixed, values))


def _fixed(value: float) -> bytes:
    """An s15Fixed16Number."""
    return struct.pack(">l", round(float(value) * 65_536))


def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    tags = {**tags, b"wtpt": _xyz_tag(D50_XYZ)}
    table, body = struct.pack(">L", len(tags)), b""
    start = HEADER_BYTES + 4 + 12 * len(tags)
    for name, value in tags.items():
        table += struct.pack(">4sLL", name, start + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    header = struct.pack(">L4xL4s4s4s", start + len(body), VERSION, b"mntr", space, b"XYZ ")
    header += bytes(12) + b"acsp" + bytes(28) + b"".join(map(_fixed, D50_XYZ))
    return header.ljust(HEADER_BYTES, b"\0") + table + body
