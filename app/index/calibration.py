"""Whether a hit is better than chance: an index's null distribution and what follows from it.

The null is made of queries that the index's pictures have nothing to do with: the bundled texts of
`chance_texts.txt`, and for searches by picture the index's own pictures, each against the others.
A hit's confidence is the share of such queries whose best hit stays below it.

Of a text the cosine alone says too little, since some texts score high with every picture: those
that are like the average unrelated text n̄, as words without meaning are, and those that are near
the average picture m. So a part of q·m and of q·n̄ is subtracted from each score of a query q.
The difference is linear in q, hence q·bias for one stored vector, and no picture's vector is
needed. It follows from a linear discriminant of equal variances: where texts of a picture g lie
around κ g and others around n̄, the evidence for g grows as κ q·g − q·n̄.

The highest of many scores is distributed as Gumbel's law, F(x) = exp(−exp(−(x − μ) / σ)); the
highest of k times as many has its μ raised by σ ln k (E. J. Gumbel, "Statistics of Extremes",
1958). μ and σ are fitted to the lower part of the null, so that unrelated texts that some index
does show, and pictures that have relatives, do not raise them. Between pictures cosines come near
their bound, where the law of the nearest distance is Weibull's: −ln(1 − cosine) is Gumbel's.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.vectors import Vectors, unit_rows

Reals = NDArray[np.floating[Any]]

TEXTS = Path(__file__).with_name("unrelated_texts.txt")
FORMAT = 1  # of `to_bytes`: to be raised where the texts or a formula change, for both change μ, σ

NO_MATCH_BELOW = 0.90
"""A best hit of lower confidence is no better than chance: one unrelated query in ten passes."""
SAMPLE = 1000
"""Pictures that are enough to measure an index by."""
BIAS_WEIGHT = 0.25
"""Of q·m and q·n̄ each, in deviations of the null's best score. What it separates changes little
from 0.2 to 0.5."""

TEXT_SHARES = np.linspace(0.05, 0.8, 16)
"""Quantiles that μ and σ are fitted to: a fifth of the texts may be shown."""
PICTURE_SHARES = np.linspace(0.05, 0.5, 10)
"""The same for pictures: half of them may have relatives in the index."""
LEAST_SCALE = 1e-3
"""Of σ: halfvec's rounding; pictures that are all alike have no spread of their own."""
COPY = 0.98
"""The cosine from which a picture is a copy, and no chance, in any index."""
FEWEST_PICTURES = 3
"""Of fewer, no picture's score against others tells what is usual."""
CANNOT_TELL = -50.0
"""The μ, at a σ of 1, of what cannot be measured: every hit is far above it, none is flagged."""
LEAST_DISTANCE = 1e-6
"""Of 1 − cosine, which rounding may bring to 0 or below."""
MIXTURES = (0.0, 0.5, 1.0)
"""The pictures' shares of a query at which the null is measured."""


@dataclass(frozen=True, eq=False)
class NullDistribution:
    """The null distribution of one index."""

    bias: Vectors
    """Shape (dimensions,), not of unit length: q·bias is what text q scores with anything."""
    locations: NDArray[np.float64]
    """Gumbel's μ at each of MIXTURES: shape (3,)."""
    scales: NDArray[np.float64]
    """Gumbel's σ, positive, likewise."""
    counted: int
    """How many vectors the index held."""

    def confidence(
        self, query: Vectors, scores: NDArray[np.float32], picture_share: float = 0.0
    ) -> NDArray[np.float32]:
        """How surely each hit is more than chance, 0 to 1: float32, shape (n,).

        `query` is the unit vector searched for, shape (dimensions,), `scores` the hits' cosines,
        shape (n,). `picture_share` says what made the query: 0 for texts, 1 for pictures, between
        them as `picture_share` below. For one query a higher score never has a lower confidence.
        """
        level = float(query @ self.bias)
        levels = [scores - level, scores - level / 2, _spread_out(scores)]
        reduced: Reals = np.zeros(len(scores))
        for values, at, location, scale in zip(
            levels, MIXTURES, self.locations, self.scales, strict=True
        ):
            weight = max(0.0, 1 - 2 * abs(picture_share - at))  # linear between the mixtures
            reduced = reduced + weight * (values - location) / scale
        sure: NDArray[np.float32] = _gumbel(reduced).astype(np.float32)
        return sure

    def to_bytes(self) -> bytes:
        """Little-endian doubles: format, counted, μ, σ, bias; 6 kB for 768 dimensions."""
        head = np.array([FORMAT, self.counted], np.float64)
        parts: list[Reals] = [head, self.locations, self.scales, self.bias]
        return np.concatenate(parts).astype("<f8").tobytes()

    @classmethod
    def from_bytes(cls, stored: bytes) -> "NullDistribution":
        """What `to_bytes` gave. Raises ValueError where another FORMAT wrote it."""
        numbers = np.frombuffer(stored, "<f8")
        known, head = len(MIXTURES), 2
        if len(numbers) <= head + 2 * known or numbers[0] != FORMAT:
            raise ValueError("not a null distribution of this format: measure it anew")
        locations, scales, bias = np.split(numbers[head:], [known, 2 * known])
        return cls(bias.astype(np.float32), locations, scales, int(numbers[1]))


def is_no_match(confidences: NDArray[np.float32]) -> bool:
    """Whether the best of the hits, shape (n,), is not better than chance, or there is none."""
    return bool(confidences.max(initial=0) < NO_MATCH_BELOW)


def is_stale(counted: int, now: int) -> bool:
    """Whether an index measured with `counted` vectors and holding `now` must be measured anew.

    So it is once a quarter have come or gone; with up to four, after any change.
    """
    return now != counted and 4 * abs(now - counted) >= counted


def picture_share(text_weights: list[float], picture_weights: list[float]) -> float:
    """The pictures' share of a query's positive weights, 0 to 1.

    What a query is to be unlike (a negative weight) adds no likeness, so it does not count.
    """
    texts, pictures = (sum(max(one, 0) for one in w) for w in (text_weights, picture_weights))
    return pictures / (texts + pictures) if pictures else 0.0


@cache
def unrelated_texts() -> tuple[str, ...]:
    """The bundled texts, each once."""
    lines = TEXTS.read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


def measure(
    probes: Vectors, sample: Vectors, count: int, best: NDArray[np.float32] | None = None
) -> NullDistribution:
    """The null distribution of an index of `count` pictures, one or more.

    `probes`, shape (p, d), are the embeddings of `unrelated_texts`; `sample`, shape (s, d), is
    drawn from the index evenly, all of it or SAMPLE rows; `best`, shape (p,), is each probe's
    highest cosine in the whole index, needed where the sample is not all of it.
    Raises ValueError for an empty sample.
    """
    if len(sample) == 0:
        raise ValueError("an index without pictures has no chance level")
    if best is None:
        best = (probes @ sample.T).max(axis=1)
    bias = _bias(probes, sample, best)
    text = _fitted(best - probes @ bias, TEXT_SHARES)
    mixed, picture = _of_pictures(probes, sample, bias, max(1.0, count / len(sample)))
    locations, scales = np.array([text, mixed, picture]).T
    return NullDistribution(bias, locations, scales, count)


def _bias(probes: Vectors, sample: Vectors, best: NDArray[np.float32]) -> Vectors:
    """BIAS_WEIGHT deviations of `best` for one of q·m, and as much for one of q·n̄.

    Neither weighs more than BIAS_WEIGHT itself, however little q·m or q·n̄ varies.
    """
    spread = _deviation(best)
    bias = np.zeros(sample.shape[1])
    for mean in (sample.mean(axis=0), probes.mean(axis=0)):
        own = _deviation(probes @ mean)
        bias += BIAS_WEIGHT * (spread / own if own > spread else 1.0) * mean
    return bias.astype(np.float32)


def _of_pictures(
    probes: Vectors, sample: Vectors, bias: Vectors, larger: float
) -> tuple[tuple[float, float], tuple[float, float]]:
    """(μ, σ) for halves of text and picture, and for pictures: each against the others.

    `larger` is how many times the sample the index holds.
    """
    if len(sample) < FEWEST_PICTURES:
        return (CANNOT_TELL, 1.0), (CANNOT_TELL, 1.0)
    sample = sample[np.argsort(sample @ probes.mean(axis=0), kind="stable")]  # in any order alike
    own = np.arange(len(probes)) % len(sample)
    halves = unit_rows(probes + sample[own] + np.float32(1e-9))
    mixed = _best_other(halves, sample, own) - halves @ bias / 2
    picture = _best_other(sample, sample, np.arange(len(sample)))
    location, scale = _grown(_fitted(_spread_out(picture), PICTURE_SHARES), larger)
    copy = float(_spread_out(np.array(COPY)))
    location = min(location, copy - scale * float(_reduced(NO_MATCH_BELOW)))
    return _grown(_fitted(mixed, TEXT_SHARES), larger), (location, scale)


def _best_other(queries: Vectors, sample: Vectors, own: NDArray[np.intp]) -> NDArray[np.float32]:
    """Each query's highest cosine, shape (n,), but for that to the picture it is made of."""
    scores = queries @ sample.T
    scores[np.arange(len(queries)), own] = -1
    best: NDArray[np.float32] = scores.max(axis=1)
    return best


def _grown(law: tuple[float, float], times: float) -> tuple[float, float]:
    """(μ, σ) of the highest of `times` as many."""
    location, scale = law
    return location + scale * float(np.log(times)), scale


def _fitted(values: Reals, shares: NDArray[np.float64]) -> tuple[float, float]:
    """Gumbel's (μ, σ) by least squares on the quantiles `shares` of `values`, shape (n,)."""
    scale, location = np.polyfit(_reduced(shares), np.quantile(values, shares), 1)
    return float(location), max(float(scale), LEAST_SCALE)


def _deviation(values: NDArray[np.float32]) -> float:
    """The median distance to the median, shape (n,) to one: in proportion to a deviation."""
    return float(np.median(np.abs(values - np.median(values))))


def _spread_out(cosines: Reals) -> Reals:
    """−ln(1 − cosine): what is near 1 is far apart."""
    return np.asarray(-np.log(np.maximum(1 - cosines, LEAST_DISTANCE)))


def _gumbel(reduced: Reals) -> Reals:
    """F at (x − μ) / σ. Beyond ±50, where F is 0 or 1, exp would overflow."""
    share: Reals = np.exp(-np.exp(-np.clip(reduced, -50, 50)))
    return share


def _reduced(shares: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """F's inverse: (x − μ) / σ where F is each of `shares`."""
    return np.asarray(-np.log(-np.log(shares)))
