"""Backgrounds of the scenes, painted from formulas at any size.

A painter takes `u`, `v` ((n, n) float64 in 0..1, right and down) and a generator, and returns
(n, n, 3) float64 RGB in 0..1. Everything is a smooth function of position, so that a background
looks alike at 64 and at 384 pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float64]
Painter = Callable[[Plane, Plane, np.random.Generator], Plane]

COLOURS: dict[str, tuple[str, tuple[int, int, int]]] = {
    "white": ("白色", (245, 245, 242)),
    "black": ("黑色", (32, 32, 36)),
    "grey": ("灰色", (150, 154, 160)),
    "red": ("红色", (206, 62, 58)),
    "orange": ("橙色", (240, 150, 66)),
    "yellow": ("黄色", (248, 216, 96)),
    "green": ("绿色", (112, 178, 104)),
    "blue": ("蓝色", (92, 146, 214)),
    "purple": ("紫色", (148, 112, 196)),
    "pink": ("粉色", (244, 170, 190)),
    "brown": ("棕色", (140, 104, 78)),
}
"""English word → Chinese word and sRGB."""

EDGE = 0.008
"""Half the width of a soft edge, as a share of the picture."""


@dataclass(frozen=True)
class Background:
    """A kind of background and how captions describe it."""

    name: str
    phrases: tuple[str, ...]
    """English, after a noun: "on a beach"."""
    zh: str
    """Chinese, before 的 and a noun: "海滩上"."""
    paint: Painter


def paint(background: Background, size: int, rng: np.random.Generator) -> Plane:
    """One picture of the background: (size, size, 3) float64 RGB in 0..1."""
    ticks = (np.arange(size) + 0.5) / size
    u, v = np.meshgrid(ticks, ticks)
    return background.paint(u, v, rng).clip(0, 1)


def all_backgrounds() -> list[Background]:
    """Plain colours first, then patterns, then landscapes."""
    plain = [
        Background(
            name=word,
            phrases=(f"on a {word} background", f"on {word}"),
            zh=f"{zh}背景上",
            paint=_plain(word),
        )
        for word, (zh, _) in COLOURS.items()
    ]
    return [*plain, *PATTERNS, *LANDSCAPES]


def _mix(a: Plane, b: Plane, share: Plane) -> Plane:
    return np.asarray(a + (b - a) * share[..., None])


def _rgb(red: int, green: int, blue: int, rng: np.random.Generator, spread: float = 0.05) -> Plane:
    base = np.array([red, green, blue]) / 255
    return np.asarray(base + rng.uniform(-spread, spread) + rng.uniform(-spread, spread, 3) / 2)


def _step(distance: Plane) -> Plane:
    """0 where `distance` is negative, 1 where it is positive, with a soft edge between."""
    return np.asarray((distance / (2 * EDGE) + 0.5).clip(0, 1))


def _two_tones(rng: np.random.Generator, contrast: float) -> tuple[Plane, Plane]:
    _, rgb = list(COLOURS.values())[rng.integers(len(COLOURS))]
    base = _rgb(*rgb, rng)
    toward = 1.0 if base.mean() < 0.55 else 0.0
    return base, base + (toward - base) * contrast


def _plain(word: str) -> Painter:
    def painter(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
        base = _rgb(*COLOURS[word][1], rng)
        light = rng.uniform(-0.06, 0.06) * (v - 0.5) + rng.uniform(-0.05, 0.05) * (u - 0.5)
        return np.asarray(base + 2 * light[..., None])

    return painter


def _gradient(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    a, _ = _two_tones(rng, 0)
    b, _ = _two_tones(rng, 0)
    angle = rng.uniform(0, 2 * np.pi)
    along = (u - 0.5) * np.cos(angle) + (v - 0.5) * np.sin(angle)
    return _mix(a, b, (along * 0.9 + 0.5).clip(0, 1))


def _stripes(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    a, b = _two_tones(rng, rng.uniform(0.15, 0.45))
    angle, period = rng.choice([0, 0.25, 0.5, 0.75]) * np.pi, rng.uniform(0.1, 0.2)
    along = (u * np.cos(angle) + v * np.sin(angle)) / period
    return _mix(a, b, _step((np.abs(along % 1 - 0.5) - 0.25) * period))


def _dots(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    a, b = _two_tones(rng, rng.uniform(0.2, 0.5))
    period, shift = rng.uniform(0.11, 0.2), rng.uniform(0, 1, 2)
    row = np.floor(v / period + shift[1])
    x = (u / period + shift[0] + 0.5 * (row % 2)) % 1 - 0.5
    y = (v / period + shift[1]) % 1 - 0.5
    return _mix(a, b, _step((0.26 - np.hypot(x, y)) * period))


def _checks(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    a, b = _two_tones(rng, rng.uniform(0.15, 0.4))
    period = rng.uniform(0.14, 0.25)
    across = _step((np.abs(u / period % 1 - 0.5) - 0.25) * period)
    down = _step((np.abs(v / period % 1 - 0.5) - 0.25) * period)
    return _mix(a, b, (across + down) / 2)


def _horizon(u: Plane, rng: np.random.Generator, height: float, hills: float) -> Plane:
    """The height of a gently rolling line at each `u`, measured down from the top."""
    phase = rng.uniform(0, 2 * np.pi, 2)
    roll = np.sin(2 * np.pi * 0.8 * u + phase[0]) + 0.5 * np.sin(2 * np.pi * 1.9 * u + phase[1])
    return np.asarray(height + hills * roll)


def _sky(v: Plane, rng: np.random.Generator) -> Plane:
    return _mix(_rgb(104, 176, 236, rng), _rgb(206, 232, 248, rng), v.clip(0, 1))


def _clouds(ground: Plane, u: Plane, v: Plane, rng: np.random.Generator, top: float) -> Plane:
    """White puffs laid over `ground`, above the height `top`."""
    for _ in range(rng.integers(1, 4)):
        x, y, width = rng.uniform(0.05, 0.95), rng.uniform(0.06, top), rng.uniform(0.06, 0.12)
        for offset, size in ((-0.9, 0.6), (0.0, 1.0), (0.95, 0.7)):
            far = np.hypot(u - x - offset * width, (v - y + 0.02 * size) * 1.6) - width * size
            ground = _mix(ground, np.ones(3), 0.8 * _step(-far))
    return ground


def _meadow(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    sky = _clouds(_sky(v, rng), u, v, rng, 0.3)
    far, near = _rgb(150, 204, 122, rng), _rgb(104, 172, 84, rng)
    scene = _mix(sky, far, _step(v - _horizon(u, rng, rng.uniform(0.5, 0.6), 0.03)))
    return _mix(scene, near, _step(v - _horizon(u, rng, rng.uniform(0.68, 0.78), 0.03)))


def _beach(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    level = rng.uniform(0.36, 0.46)
    scene = _mix(_sky(v, rng), _rgb(58, 150, 190, rng), _step(v - level))
    sand = _horizon(u, rng, rng.uniform(0.58, 0.68), 0.02)
    scene = _mix(scene, np.full(3, 0.96), _step(v - sand + 0.025))
    return _mix(scene, _rgb(238, 214, 160, rng), _step(v - sand))


def _sea(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    level = rng.uniform(0.3, 0.45)
    waves = 0.5 + 0.5 * np.sin(60 * v + 1.5 * np.sin(2 * np.pi * (u + rng.uniform())))
    water = _mix(_rgb(40, 128, 186, rng), _rgb(70, 156, 206, rng), waves)
    return _mix(_clouds(_sky(v, rng), u, v, rng, 0.22), water, _step(v - level))


def _desert(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    sky = _mix(_rgb(142, 200, 236, rng), _rgb(252, 232, 200, rng), (v * 1.6).clip(0, 1))
    scene = _mix(sky, _rgb(228, 178, 112, rng), _step(v - _horizon(u, rng, 0.56, 0.05)))
    return _mix(scene, _rgb(214, 156, 88, rng), _step(v - _horizon(u, rng, 0.74, 0.04)))


def _snow(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    sky = _mix(_rgb(158, 190, 218, rng), _rgb(214, 226, 238, rng), v.clip(0, 1))
    scene = _mix(sky, _rgb(232, 240, 248, rng, 0.02), _step(v - _horizon(u, rng, 0.6, 0.04)))
    scene = _mix(scene, np.full(3, 0.99), _step(v - _horizon(u, rng, 0.76, 0.03)))
    return _specks(scene, u, v, rng, 40, 0.006)


def _night(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    sky = _mix(_rgb(16, 22, 54, rng, 0.02), _rgb(48, 54, 104, rng, 0.03), v)
    return _specks(sky, u, v, rng, 45, 0.005)


def _specks(
    scene: Plane, u: Plane, v: Plane, rng: np.random.Generator, count: int, size: float
) -> Plane:
    """Small white discs: snowflakes or stars."""
    glow = np.zeros_like(u)
    for x, y, share in rng.uniform(0, 1, (count, 3)):
        glow += (0.4 + 0.6 * share) * _step(size * (0.5 + share) - np.hypot(u - x, v - y))
    return _mix(scene, np.ones(3), glow.clip(0, 1))


def _sunset(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    sky = _mix(_rgb(96, 74, 146, rng), _rgb(250, 160, 96, rng), (v * 1.5).clip(0, 1))
    far = np.hypot(u - rng.uniform(0.15, 0.85), v - 0.62)
    scene = _mix(sky, _rgb(255, 224, 150, rng, 0.02), _step(0.11 - far))
    return _mix(scene, _rgb(70, 52, 84, rng), _step(v - _horizon(u, rng, 0.7, 0.03)))


def _mountains(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    scene = _sky(v, rng)
    for height, tone in ((0.34, (150, 164, 196)), (0.46, (112, 130, 168))):
        peaks = np.abs((u * rng.uniform(1.6, 2.4) + rng.uniform()) % 1 - 0.5)
        scene = _mix(scene, _rgb(*tone, rng), _step(v - height - peaks * 0.6))
    return _mix(scene, _rgb(122, 168, 104, rng), _step(v - _horizon(u, rng, 0.78, 0.02)))


def _cloudy(u: Plane, v: Plane, rng: np.random.Generator) -> Plane:
    return _clouds(_clouds(_sky(v, rng), u, v, rng, 0.95), u, v, rng, 0.95)


PATTERNS = (
    Background("gradient", ("on a colour gradient", "on a gradient"), "渐变背景上", _gradient),
    Background("stripes", ("on stripes", "on a striped background"), "条纹背景上", _stripes),
    Background("dots", ("on polka dots", "on a dotted background"), "圆点背景上", _dots),
    Background("checks", ("on a checked cloth", "on a checked background"), "格子布上", _checks),
)
LANDSCAPES = (
    Background("meadow", ("in a meadow", "on grass", "in a green field"), "草地上", _meadow),
    Background("beach", ("on a beach", "on the sand by the sea"), "海滩上", _beach),
    Background("sea", ("on the sea", "on water"), "海上", _sea),
    Background("desert", ("in the desert", "among sand dunes"), "沙漠里", _desert),
    Background("snow", ("in the snow", "in winter"), "雪地里", _snow),
    Background("night", ("at night", "under the stars"), "夜空下", _night),
    Background("sunset", ("at sunset", "in the evening light"), "夕阳下", _sunset),
    Background("mountains", ("in the mountains", "by the mountains"), "山里", _mountains),
    Background("sky", ("in the sky", "among clouds"), "天空中", _cloudy),
)
