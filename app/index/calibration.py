"""Calibration of scores: the null distribution of an index, and the confidence of a hit.

The null distribution is that of the best score of an unrelated query. Texts are calibrated on the
bundled texts of `null_distribution_texts.txt`, pictures on the index's own pictures, each searched
for among the others. A hit's confidence is the share of unrelated queries whose best score is
lower.

The cosine of a text needs a correction, since some texts score high with every picture: those near
the mean unrelated text n̄, such as words without meaning, and those near the mean picture m. So a
part of q·m and of q·n̄ is subtracted from each score of a query q. Both are linear in q, so one
stored vector, `bias`, is enough. It is the linear discriminant for equal variances: if texts about
a picture g lie around κ g and others around n̄, the evidence for g grows as κ q·g − q·n̄.

The maximum of many scores follows a Gumbel distribution, F(x) = exp(−exp(−(x − μ) / σ)); for k
times as many scores μ grows by σ ln k (E. J. Gumbel, "Statistics of Extremes", 1958). μ and σ are
fitted to the lower quantiles, so that bundled texts which an index happens to show, and pictures
with near-duplicates, do not raise them. Cosines between pictures come close to their bound of 1,
where the nearest distance follows a Weibull distribution: −ln(1 − cosine) is Gumbel again.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.vectors import Vectors, unit_rows

Floats = NDArray[np.floating[Any]]

TEXTS_FILE = Path(__file__).with_name("null_distribution_texts.txt")
STORED_FORMAT = 1  # of `to_bytes`: raise it when the texts or a formula change

NO_MATCH_BELOW = 0.90
"""The confidence below which the best hit is no match: one unrelated query in ten passes."""
SAMPLE_SIZE = 1000
"""Pictures that an index is measured by."""
BIAS_WEIGHT = 0.25
"""The weight of q·m and of q·n̄, in deviations of the best score. Anything from 0.2 to 0.5 separates
about as well."""

TEXT_QUANTILES = np.linspace(0.05, 0.8, 16)
"""Quantiles that μ and σ are fitted to: a fifth of the texts may be about pictures of the index."""
PICTURE_QUANTILES = np.linspace(0.05, 0.5, 10)
"""The same for pictures: half of them may have near-duplicates in the index."""
MIN_SCALE = 1e-3
"""The least σ, about halfvec's rounding: where all pictures are alike there is no spread."""
COPY_COSINE = 0.98
"""From this cosine on a picture is a copy, and a match in any index."""
MIN_PICTURES = 3
"""With fewer, scores between pictures say nothing about what is usual."""
UNKNOWN_LOCATION = -50.0
"""μ, at σ = 1, where it cannot be measured: so low that every hit counts as a match."""
MIN_DISTANCE = 1e-6
"""The least 1 − cosine: rounding may bring it to 0 or below."""
MIXTURES = (0.0, 0.5, 1.0)
"""The shares of pictures in a query at which the null distribution is measured."""


@dataclass(frozen=True, eq=False)
class NullDistribution:
    """The null distribution of one index, for texts, mixtures and pictures."""

    bias: Vectors
    """Shape (dimensions,), not of unit length: q·bias is what text q scores with anything."""
    locations: NDArray[np.float64]
    """μ at each of MIXTURES: shape (3,)."""
    scales: NDArray[np.float64]
    """σ, positive, at each of MIXTURES: shape (3,)."""
    counted: int
    """How many vectors the index held when it was measured."""

    def confidence(
        self, query: Vectors, scores: NDArray[np.float32], picture_share: float = 0.0
    ) -> NDArray[np.float32]:
        """How surely each hit is better than chance, 0 to 1: float32, shape (n,).

        `query` is the unit vector searched for, shape (dimensions,), `scores` the hits' cosines,
        shape (n,). `picture_share` is 0 for texts, 1 for pictures, between them for mixtures: see
        the function below. For one query a higher score never has a lower confidence.
        """
        shares = np.array([picture_share])
        rows: NDArray[np.float32] = self.confidences(query[None], scores[None], shares)[0]
        return rows

    def confidences(
        self,
        queries: Vectors,
        scores: NDArray[np.float32],
        picture_shares: NDArray[np.float64],
    ) -> NDArray[np.float32]:
        """The same for many queries at once: float32, shape (q, n).

        `queries` are of shape (q, dimensions), `scores` (q, n), `picture_shares` (q,).
        """
        level = np.einsum("qd,d->q", queries, self.bias)[:, None]  # BLAS waits for its threads
        levels = [scores - level, scores - level / 2, _minus_log_distance(scores)]
        reduced: Floats = np.zeros(scores.shape)
        for values, at, location, scale in zip(
            levels, MIXTURES, self.locations, self.scales, strict=True
        ):
            # linear between the mixtures
            weight = np.maximum(0.0, 1 - 2 * np.abs(picture_shares - at))[:, None]
            reduced = reduced + weight * (values - location) / scale
        confidence: NDArray[np.float32] = _gumbel_cdf(reduced).astype(np.float32)
        return confidence

    def to_bytes(self) -> bytes:
        """Little-endian doubles: format, counted, μ, σ, bias; 6 kB for 768 dimensions."""
        head = np.array([STORED_FORMAT, self.counted], np.float64)
        parts: list[Floats] = [head, self.locations, self.scales, self.bias]
        return np.concatenate(parts).astype("<f8").tobytes()

    @classmethod
    def from_bytes(cls, stored: bytes) -> "NullDistribution":
        """Read what `to_bytes` wrote. Raises ValueError for another STORED_FORMAT."""
        numbers = np.frombuffer(stored, "<f8")
        known, head = len(MIXTURES), 2
        if len(numbers) <= head + 2 * known or numbers[0] != STORED_FORMAT:
            raise ValueError("not a null distribution of this format: measure it anew")
        locations, scales, bias = np.split(numbers[head:], [known, 2 * known])
        return cls(bias.astype(np.float32), locations, scales, int(numbers[1]))


def is_no_match(confidences: NDArray[np.float32]) -> bool:
    """Whether the best confidence, shape (n,), is below NO_MATCH_BELOW, or there is none."""
    return bool(confidences.max(initial=0) < NO_MATCH_BELOW)


def is_stale(counted: int, now: int) -> bool:
    """Whether an index measured at `counted` vectors must be measured again at `now`.

    That is so once a quarter were added or removed; with up to four vectors, after any change.
    """
    return now != counted and 4 * abs(now - counted) >= counted


def picture_share(text_weights: list[float], picture_weights: list[float]) -> float:
    """The pictures' share of a query's positive weights, 0 to 1.

    Negative weights, what the results are to be unlike, do not count.
    """
    texts, pictures = (sum(max(one, 0) for one in w) for w in (text_weights, picture_weights))
    return pictures / (texts + pictures) if pictures else 0.0


@cache
def unrelated_texts() -> tuple[str, ...]:
    """The bundled texts, each once."""
    lines = TEXTS_FILE.read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


def measure(
    probes: Vectors, sample: Vectors, count: int, best: NDArray[np.float32] | None = None
) -> NullDistribution:
    """The null distribution of an index of `count` vectors, those of parts included.

    `probes`, shape (p, d), are the embeddings of `unrelated_texts`; `sample`, shape (s, d), is
    a uniform sample of the index, all of it or SAMPLE_SIZE rows; `best`, shape (p,), is each
    probe's highest cosine in the whole index, needed where the sample is not all of it.
    Raises ValueError for an empty sample.
    """
    if len(sample) == 0:
        raise ValueError("an index without pictures has no null distribution")
    if best is None:
        best = (probes @ sample.T).max(axis=1)
    bias = _bias(probes, sample, best)
    text = _fit_gumbel(best - probes @ bias, TEXT_QUANTILES)
    mixed, picture = _fit_pictures(probes, sample, bias, max(1.0, count / len(sample)))
    locations, scales = np.array([text, mixed, picture]).T
    return NullDistribution(bias, locations, scales, count)


def _bias(probes: Vectors, sample: Vectors, best: NDArray[np.float32]) -> Vectors:
    """Sum m and n̄, each scaled so that its product with q varies BIAS_WEIGHT times as `best` does.

    Neither weighs more than BIAS_WEIGHT, however little q·m or q·n̄ varies.
    """
    spread = _median_deviation(best)
    bias = np.zeros(sample.shape[1])
    for mean in (sample.mean(axis=0), probes.mean(axis=0)):
        own = _median_deviation(probes @ mean)
        bias += BIAS_WEIGHT * (spread / own if own > spread else 1.0) * mean
    return bias.astype(np.float32)


def _fit_pictures(
    probes: Vectors, sample: Vectors, bias: Vectors, larger: float
) -> tuple[tuple[float, float], tuple[float, float]]:
    """(μ, σ) for half text, half picture, and (μ, σ) for pictures, each against the others.

    `larger` is the size of the index relative to the sample.
    """
    if len(sample) < MIN_PICTURES:
        return (UNKNOWN_LOCATION, 1.0), (UNKNOWN_LOCATION, 1.0)
    sample = sample[
        np.argsort(sample @ probes.mean(axis=0), kind="stable")
    ]  # the result must not depend on the sample's order
    own = np.arange(len(probes)) % len(sample)
    halves = unit_rows(probes + sample[own] + np.float32(1e-9))
    mixed = _best_except_own(halves, sample, own) - halves @ bias / 2
    picture = _best_except_own(sample, sample, np.arange(len(sample)))
    location, scale = _of_larger_maximum(
        _fit_gumbel(_minus_log_distance(picture), PICTURE_QUANTILES), larger
    )
    copy = float(_minus_log_distance(np.array(COPY_COSINE)))
    location = min(location, copy - scale * float(_gumbel_quantile(NO_MATCH_BELOW)))
    return _of_larger_maximum(_fit_gumbel(mixed, TEXT_QUANTILES), larger), (location, scale)


def _best_except_own(
    queries: Vectors, sample: Vectors, own: NDArray[np.intp]
) -> NDArray[np.float32]:
    """Each query's highest cosine, shape (n,), except to the picture it was made from."""
    scores = queries @ sample.T
    scores[np.arange(len(queries)), own] = -1
    best: NDArray[np.float32] = scores.max(axis=1)
    return best


def _of_larger_maximum(gumbel: tuple[float, float], times: float) -> tuple[float, float]:
    """(μ, σ) of the maximum of `times` as many scores."""
    location, scale = gumbel
    return location + scale * float(np.log(times)), scale


def _fit_gumbel(values: Floats, shares: NDArray[np.float64]) -> tuple[float, float]:
    """Gumbel's (μ, σ) by least squares on the quantiles `shares` of `values`, shape (n,)."""
    scale, location = np.polyfit(_gumbel_quantile(shares), np.quantile(values, shares), 1)
    return float(location), max(float(scale), MIN_SCALE)


def _median_deviation(values: NDArray[np.float32]) -> float:
    """The median absolute deviation of `values`, shape (n,)."""
    return float(np.median(np.abs(values - np.median(values))))


def _minus_log_distance(cosines: Floats) -> Floats:
    """−ln(1 − cosine), which spreads out cosines near 1."""
    return np.asarray(-np.log(np.maximum(1 - cosines, MIN_DISTANCE)))


def _gumbel_cdf(reduced: Floats) -> Floats:
    """F at reduced values (x − μ) / σ; clipped where exp would overflow and F is 0 or 1 anyway."""
    share: Floats = np.exp(-np.exp(-np.clip(reduced, -50, 50)))
    return share


def _gumbel_quantile(shares: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """The inverse of F: the reduced value (x − μ) / σ at each of `shares`."""
    return np.asarray(-np.log(-np.log(shares)))
