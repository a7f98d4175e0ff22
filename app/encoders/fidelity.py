"""Measures how close the vectors of one pair of towers are to those of another."""

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from app.vectors import Vectors

if TYPE_CHECKING:
    from app.encoders.encoder import OpenClipEncoder

GOLDEN_TEXTS = ["a green tree", "a red car on a road", "自行车", "two dogs"]
GOLDEN_LONG_TEXT = "two dogs and a red car on a long road " * 3  # a runtime may fix the length
GOLDEN_IMAGES = 4
GOLDEN_TIMES = 4  # repeats of the golden inputs: batches of 16
GOLDEN_SEED = 20_26
EXACT_COSINE = 0.9999  # minimum for towers that compute in fp32: only rounding differs
MINIMUM_COSINE = 0.999  # for bf16 and fp16: close enough to share an index with fp32 vectors
NEIGHBOURS = 10  # how many nearest pictures are compared


def golden_images() -> list[Image.Image]:
    """Pictures of coarse noise, always the same."""
    generator = np.random.default_rng(GOLDEN_SEED)
    coarse = generator.integers(0, 256, (GOLDEN_IMAGES, 8, 8, 3), dtype=np.uint8)
    return [Image.fromarray(pixels).resize((256, 256)) for pixels in coarse]


def lowest_cosine(exact: "OpenClipEncoder", other: "OpenClipEncoder") -> float:
    """The lowest cosine between two encoders' embeddings of the golden inputs.

    Inputs are run singly, as a batch and repeated in a larger batch, and one text is longer than
    the rest: a runtime may bake in a batch size or length, and uses other kernels for large ones.
    """
    pixels = [exact.prepare(image) for image in golden_images()]
    pictures = exact.encode_pixels(pixels)
    many = [*pixels * GOLDEN_TIMES]
    return min(
        lowest_text_cosine(exact, other),
        _lowest(pictures[:1], other.encode_pixels(pixels[:1])),
        _lowest(pictures, other.encode_pixels(pixels)),
        _lowest(np.tile(pictures, (GOLDEN_TIMES, 1)), other.encode_pixels(many)),
    )


def lowest_text_cosine(exact: "OpenClipEncoder", other: "OpenClipEncoder") -> float:
    """The lowest cosine between two encoders' embeddings of the golden texts."""
    texts = exact.encode_texts(GOLDEN_TEXTS)
    many = [*GOLDEN_TEXTS * GOLDEN_TIMES]
    return min(
        _lowest(exact.encode_texts([GOLDEN_LONG_TEXT]), other.encode_texts([GOLDEN_LONG_TEXT])),
        _lowest(texts[:1], other.encode_texts(GOLDEN_TEXTS[:1])),
        _lowest(texts, other.encode_texts(GOLDEN_TEXTS)),
        _lowest(np.tile(texts, (GOLDEN_TIMES, 1)), other.encode_texts(many)),
    )


def _lowest(a: Vectors, b: Vectors) -> float:
    return float((a * b).sum(axis=1).min())


def mean_cosine(a: Vectors, b: Vectors) -> float:
    """The mean cosine of corresponding rows; both have shape (n, dimensions), n at least 1."""
    return float((a * b).sum(axis=1).mean())


def overlap(a: Vectors, b: Vectors) -> float:
    """The mean share of a picture's NEIGHBOURS nearest pictures that `a` and `b` agree on.

    Both have shape (n, dimensions), n greater than NEIGHBOURS; no picture is its own neighbour.
    """
    pairs = zip(_nearest(a), _nearest(b), strict=True)
    return float(np.mean([len(one & other) / NEIGHBOURS for one, other in pairs]))


def recall(texts: Vectors, gallery: Vectors) -> float:
    """The share of `texts` whose nearest row of `gallery` is the corresponding one.

    Both have shape (n, dimensions), n at least 1; ties count against it.
    """
    scores = texts @ gallery.T
    own = np.diagonal(scores)[:, np.newaxis]
    return float(((scores >= own).sum(axis=1) == 1).mean())


def _nearest(gallery: Vectors) -> list[set[int]]:
    scores = gallery @ gallery.T
    np.fill_diagonal(scores, -np.inf)
    return [set(row) for row in np.argsort(-scores, axis=1)[:, :NEIGHBOURS].tolist()]
