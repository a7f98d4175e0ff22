"""Captions to search for: many, all different, and the same in every run."""

from itertools import product

import numpy as np

SEED = 11
HOW = ("old", "small", "red", "green", "blue", "wooden", "broken", "wet", "shining", "dusty")
WHAT = (
    *("tree", "car", "cat", "dog", "house", "boat", "bicycle", "bridge", "bird", "horse"),
    *("lamp", "chair", "clock", "door", "river", "train", "tower", "flower", "market", "child"),
)
DOING = ("in front of", "behind", "next to", "under", "far from", "reflected in")
WHERE = (
    *("a snowy mountain", "the sea", "a crowded street", "an empty room", "a field of wheat"),
    *("the city at night", "a wall of bricks", "a garden", "the harbour", "a window"),
)
KIND = ("a photo of", "a close-up of", "a painting of", "two views of")


def sentences(count: int) -> list[str]:
    """`count` of the 48,000 captions in shuffled order. Raises ValueError if there are fewer."""
    every = list(product(KIND, HOW, WHAT, DOING, WHERE))
    order = np.random.default_rng(SEED).choice(len(every), count, replace=False)
    return [
        f"{kind} the {how} {what} {doing} {where}"
        for kind, how, what, doing, where in (every[place] for place in order)
    ]
