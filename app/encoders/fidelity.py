"""How close the vectors of one pair of towers are to those of another."""

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from app.vectors import Vectors

if TYPE_CHECKING:
    from app.encoders.encoder import OpenClipEncoder

GOLDEN_TEXTS = ["a green tree", "a red car on a road", "自行车", "two dogs"]
GOLDEN_LONG_TEXT = "two dogs and a red car on a long road " * 3  # a runtime may fix a length
GOLDEN_IMAGES = 4
GOLDEN_TIMES = 4  # that they are repeated: 16 at a time
GOLDEN_SEED = 20_26
EXACT_COSINE = 0.9999  # at least, of towers that compute in fp32: what differs is rounding
MINIMUM_COSINE = 0.999  # of bf16 and fp16: their vectors may lie in one index with fp32's
NEIGHBOURS = 10  # pictures of an answer that are compared


def golden_images() -> list[Image.Image]:
    """Pictures of coarse noise, always the same."""
    generator = np.random.default_rng(GOLDEN_SEED)
    coarse = generator.integers(0, 256, (GOLDEN_IMAGES, 8, 8, 3), dtype=np.uint8)
    return [Image.fromarray(pixels).resize((256, 256)) for pixels in coarse]


def lowest_cosine(exact: "OpenClipEncoder", other: "OpenClipEncoder") -> float:
    """The least cosine between the embeddings that two encoders give the golden inputs.

    They go one by one, together and several times over, and a text is longer than the others: a
    runtime may take a batch or a length for a constant, and has kernels of its own for large ones.
    """
    pixels = [exact.prepare(image) for image in golden_images()]
    texts, pictures = exact.encode_texts(GOLDEN_TEXTS), exact.encode_pixels(pixels)
    many = [*pixels * GOLDEN_TIMES], [*GOLDEN_TEXTS * GOLDEN_TIMES]
    return min(
        _lowest(exact.encode_texts([GOLDEN_LONG_TEXT]), other.encode_texts([GOLDEN_LONG_TEXT])),
        _lowest(texts[:1], other.encode_texts(GOLDEN_TEXTS[:1])),
        _lowest(pictures[:1], other.encode_pixels(pixels[:1])),
        _lowest(texts, other.encode_texts(GOLDEN_TEXTS)),
        _lowest(pictures, other.encode_pixels(pixels)),
        _lowest(np.tile(texts, (GOLDEN_TIMES, 1)), other.encode_texts(many[1])),
        _lowest(np.tile(pictures, (GOLDEN_TIMES, 1)), other.encode_pixels(many[0])),
    )


def _lowest(a: Vectors, b: Vectors) -> float:
    return float((a * b).sum(axis=1).min())


def mean_cosine(a: Vectors, b: Vectors) -> float:
    """The mean of the cosines of rows, each shape (n, dimensions), n at least 1."""
    return float((a * b).sum(axis=1).mean())


def overlap(a: Vectors, b: Vectors) -> float:
    """The mean share of its nearest NEIGHBOURS that a picture has in common in `a` and in `b`.

    Both have shape (n, dimensions), n greater than NEIGHBOURS; no picture is its own neighbour.
    """
    pairs = zip(_nearest(a), _nearest(b), strict=True)
    return float(np.mean([len(one & other) / NEIGHBOURS for one, other in pairs]))


def _nearest(gallery: Vectors) -> list[set[int]]:
    scores = gallery @ gallery.T
    np.fill_diagonal(scores, -np.inf)
    return [set(row) for row in np.argsort(-scores, axis=1)[:, :NEIGHBOURS].tolist()]
