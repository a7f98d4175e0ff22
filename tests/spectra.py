"""Vectors whose spectrum is like that of CLIP's embeddings of photographs."""

import numpy as np

from app.vectors import Vectors, unit_rows

DECAY = 0.5  # the i-th principal component's deviation falls as i^-DECAY
CONE = 0.8  # CLIP's embeddings share a direction: length of the mean, relative to the rest
TOPICS = 400  # pictures come in kinds
SPREAD = 1.0  # deviation inside a kind, relative to that between kinds


def clip_like(count: int, dimensions: int, seed: int) -> Vectors:
    """`count` unit vectors, float32, shape (count, dimensions); the topics depend on no seed."""
    world = np.random.default_rng(0)
    deviations = np.arange(1, dimensions + 1) ** -DECAY
    rotation, _ = np.linalg.qr(world.standard_normal((dimensions, dimensions)))
    topics = world.standard_normal((TOPICS, dimensions)) * deviations
    mean = world.standard_normal(dimensions)
    mean *= CONE * np.linalg.norm(deviations) / np.linalg.norm(mean)
    own = np.random.default_rng(seed)
    within = own.standard_normal((count, dimensions)) * deviations * SPREAD
    rows = topics[own.integers(0, TOPICS, count)] + within + mean
    return unit_rows((rows @ rotation).astype(np.float32))
