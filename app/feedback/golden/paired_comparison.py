"""Whether one ranking answers the same queries better than another, and how sure that is.

Intervals are of the percentile bootstrap over queries (B. Efron and R. J. Tibshirani, "An
Introduction to the Bootstrap", 1993, chapter 13). The test is Fisher's paired randomisation test on
the mean difference, two-sided, which M. D. Smucker, J. Allan and B. Carterette recommend over
Wilcoxon's and the sign test ("A comparison of statistical significance tests for information
retrieval evaluation", CIKM 2007). All draws are seeded: the same scores give the same figures.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]

RESAMPLES = 2_000  # of the bootstrap
CONFIDENCE = 0.95  # of its intervals
EXACT_QUERIES = 14  # that differ: all 2^14 assignments of signs are tried; of more, DRAWS
DRAWS = 20_000  # so that the smallest p is 0.00005
DRAWN_AT_A_TIME = 1_000  # rows of signs: 16 MB for 2,000 queries
SIGNIFICANT = 0.05  # a p below this decides
EQUAL = 1e-9  # scores of one query that differ by less are tied
SEED = 0

Verdict = Literal["better", "worse", "undecided"]


@dataclass(frozen=True)
class Interval:
    """A mean, and the bounds of its 95 % confidence interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """How a candidate does against a baseline: numbers of queries, mean gain, and its p-value."""

    won: int
    lost: int
    tied: int
    gain: Interval
    p: float

    @property
    def verdict(self) -> Verdict:
        """Which one is better, where p decides."""
        if self.p >= SIGNIFICANT:
            return "undecided"
        return "better" if self.gain.mean > 0 else "worse"

    @property
    def sentence(self) -> str:
        """The outcome in words: `Better on 61 of 200 queries, worse on 12, p = 0.001`."""
        queries = self.won + self.lost + self.tied
        p = "p < 0.001" if self.p < 0.001 else f"p = {self.p:.3f}"
        return f"Better on {self.won} of {queries} queries, worse on {self.lost}, {p}."


def interval(scores: Scores) -> Interval:
    """The mean of scores, shape (queries,), with its interval; at least one score."""
    random = np.random.default_rng(SEED)
    chosen = random.integers(len(scores), size=(RESAMPLES, len(scores)), dtype=np.int32)
    tails = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    low, high = np.quantile(scores[chosen].mean(axis=1), tails)
    return Interval(float(scores.mean()), float(low), float(high))


def compare(baseline: Scores, candidate: Scores) -> Comparison:
    """Compare the scores of the same queries, shapes (queries,); at least one query."""
    gains = candidate - baseline
    gains[np.abs(gains) < EQUAL] = 0.0
    won, lost = int((gains > 0).sum()), int((gains < 0).sum())
    p = randomisation_p(gains)
    return Comparison(won, lost, len(gains) - won - lost, interval(gains), p)


def randomisation_p(gains: Scores) -> float:
    """The share of random signs whose mean gain is as far from 0 as that of `gains`.

    If neither ranking were better, each gain might as well have had the other sign. 1 if none
    differs.
    """
    gains = gains[gains != 0]
    if not len(gains):
        return 1.0
    observed = abs(float(gains.sum())) - EQUAL
    if len(gains) <= EXACT_QUERIES:
        bits = np.arange(2 ** len(gains))[:, np.newaxis] >> np.arange(len(gains)) & 1
        return float((np.abs((1 - 2 * bits) @ gains) >= observed).mean())
    random = np.random.default_rng(SEED)
    extreme = 1  # the assignment that was observed is one of them
    for _ in range(DRAWS // DRAWN_AT_A_TIME):
        signs = 1.0 - 2.0 * random.integers(2, size=(DRAWN_AT_A_TIME, len(gains)), dtype=np.int8)
        extreme += int((np.abs(signs @ gains) >= observed).sum())
    return extreme / (DRAWS + 1)
