"""ICC profiles of well-known spaces, written by hand: a matrix of the primaries (D50) and one gamma (ICC.1:2001)."""

import struct
from itertools import product

import numpy as np
from numpy.typing import NDArray

#: Rows: XYZ of red, green and blue, adapted to D50.
SRGB = np.array([[0.43607, 0.22249, 0.01392], [0.38515, 0.71687, 0.09708], [0.14307, 0.06061, 0.71410]])
DISPLAY_P3 = np.array([[0.51512, 0.24120, -0.00105], [0.29198, 0.69225, 0.04189], [0.15710, 0.06657, 0.78407]])
ADOBE_RGB = np.array([[0.60974, 0.31111, 0.01947], [0.20528, 0.62567, 0.06087], [0.14919, 0.06322, 0.74457]])
PROPHOTO = np.array([[0.79767, 0.28804, 0.0], [0.13519, 0.71188, 0.0], [0.03134, 0.00009, 0.82491]])

#: Name → primaries and gamma; gamma None is sRGB's own curve.
SPACES: dict[str, tuple[NDArray[np.float64], float | None]] = {
    "Display P3": (DISPLAY_P3, None),
    "AdobeRGB": (ADOBE_RGB, 2.2),
    "ProPhoto": (PROPHOTO, 1.8),
    "linear sRGB": (SRGB, 1.0),
}


def linear(levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Light of sRGB levels, both 0…1 (IEC 61966-2-1)."""
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)


def from_srgb(pixels: NDArray[np.uint8], space: str) -> NDArray[np.float64]:
    """sRGB ``pixels`` as samples of ``space``, 0…1."""
    primaries, gamma = SPACES[space]
    light = np.clip(linear(pixels / 255) @ SRGB @ np.linalg.inv(primaries), 0, 1)
    if gamma is None:
        return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.asarray(light ** (1 / gamma))


def profile(space: str) -> bytes:
    """The profile of ``space``."""
    primaries, gamma = SPACES[space]
    return rgb_profile(primaries, gamma)


def rgb_profile(primaries: NDArray[np.float64], gamma: float | None) -> bytes:
    tags = {b"wtpt": _xyz(0.9642, 1.0, 0.8249), b"desc": _text()}
    for colour, row in zip("rgb", primaries, strict=True):
        tags[f"{colour}XYZ".encode()] = _xyz(*row)
        tags[f"{colour}TRC".encode()] = _curve(gamma)
    return _file(b"RGB ", tags)


def grey_profile(gamma: float) -> bytes:
    return _file(b"GRAY", {b"wtpt": _xyz(0.9642, 1.0, 0.8249), b"desc": _text(), b"kTRC": _curve(gamma)})


def cmyk_profile() -> bytes:
    """A printing machine whose black is L* 0 and whose cyan, alone, is L* 62, a* −31, b* −48; other inks are white."""
    table = []
    for cyan, _magenta, _yellow, black in product((0, 1), repeat=4):
        table.append((0, 0, 0) if black else (62, -31, -48) if cyan else (100, 0, 0))
    lab = bytes(value for light, a, b in table for value in (round(light * 2.55), a + 128, b + 128))
    straight = bytes(range(256))
    matrix = struct.pack(">9i", *(65536 * (place % 4 == 0) for place in range(9)))
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + matrix + straight * 4 + lab + straight * 3
    tags = {b"wtpt": _xyz(0.9642, 1.0, 0.8249), b"desc": _text(), b"A2B0": lut}
    return _file(b"CMYK", tags, kind=b"prtr", connection=b"Lab ")


def _file(space: bytes, tags: dict[bytes, bytes], kind: bytes = b"mntr", connection: bytes = b"XYZ ") -> bytes:
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += struct.pack(">4sII", name, start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    white = struct.pack(">3i", *(round(value * 65536) for value in (0.9642, 1.0, 0.8249)))
    size = start + len(body)
    header = struct.pack(">I4sI4s4s4s", size, b"none", 0x02100000, kind, space, connection)
    header += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp") + bytes(28) + white
    return header.ljust(128, b"\0") + table + body


def _xyz(*values: float) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))


def _text() -> bytes:
    return b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(78)


def _curve(gamma: float | None) -> bytes:
    if gamma is not None:
        return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))
    levels = linear(np.linspace(0, 1, 1024))
    return b"curv\0\0\0\0" + struct.pack(">I1024H", 1024, *(round(65535 * level) for level in levels))
