"""From vectors to probabilities, and to the labels that hold."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.database.label_tables import OTHER
from app.understanding.labels.labels import Label, LabelSet
from app.vectors import Vectors

MOST_HELD = 10  # labels of a set that a picture has, the most probable ones; any of its gate too

Probabilities = NDArray[np.float32]
"""float32, shape (pictures, labels), 0 to 1."""


class Held(NamedTuple):
    """The labels that hold, one entry for each: the position of the picture, label, probability."""

    pictures: NDArray[np.intp]
    labels: list[str]
    probabilities: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Scorer:
    """Tells the labels of pictures by their vectors alone.

    `vectors` are those of the set, from `prompts.encode_set`; `logit_scale` is the model's.

    A label is as near as its best phrase. An exclusive set is a softmax over its labels and the
    texts of what is none of them, as in `softmax`. In any other set each label has a softmax of
    its own against its negatives and those texts. By default these are the unrelated texts that
    confidence is calibrated with (`index.calibration`): a label holds if it fits a picture better
    than hundreds of texts about other things do together.
    """

    labels: LabelSet
    vectors: Vectors
    logit_scale: float

    def held(self, pictures: Vectors) -> Held:
        """The labels of pictures, float32 (n, dimensions); OTHER for those without any."""
        found = self.probabilities(pictures)
        most = min(1 if self.labels.exclusive else MOST_HELD, found.shape[1])
        first = np.argsort(-found, axis=1, kind="stable")[:, :most]
        kept = np.zeros(found.shape, np.bool_)
        np.put_along_axis(kept, first, values=True, axis=1)
        if not self.labels.exclusive:
            kept[:, self._stopping()] = True  # a gate overlooks none, however many labels hold
        kept &= found >= self.labels.threshold
        rows, columns = np.nonzero(kept)
        without = np.flatnonzero(~kept.any(axis=1))
        names = [self.labels.labels[n].name for n in columns] + [OTHER] * len(without)
        none = 1 - found[without].max(axis=1)
        probabilities = np.concatenate([found[rows, columns], none])
        return Held(np.concatenate([rows, without]), names, probabilities)

    def _stopping(self) -> list[int]:
        """The positions of the labels that the set's gate stops."""
        stopping = self.labels.stopping
        return [n for n, label in enumerate(self.labels.labels) if label.name in stopping]

    def probabilities(self, pictures: Vectors) -> Probabilities:
        """The probability of each label for pictures, float32 (n, dimensions)."""
        cosines = pictures @ self.vectors.T
        best = best_phrases(cosines, self.labels.labels)
        rest = cosines[:, sum(len(label.texts) for label in self.labels.labels) :]
        number = best.shape[1]
        if self.labels.exclusive:
            return softmax(np.hstack([best, rest]), self.logit_scale)[:, :number]
        least = np.maximum(best.max(axis=1), rest.max(axis=1))[:, np.newaxis]
        odds = np.exp(self.logit_scale * (np.hstack([best, rest]) - least).astype(np.float64))
        against = self._against(odds[:, number:])
        found: Probabilities = (odds[:, :number] / (odds[:, :number] + against)).astype(np.float32)
        return found

    def _against(self, odds: NDArray[np.float64]) -> NDArray[np.float64]:
        """What each label competes with, shape (n, labels): its own negatives, and the rest."""
        numbers = np.array([len(label.negatives) for label in self.labels.labels])
        ends = numbers.cumsum()
        sums = np.hstack([np.zeros((len(odds), 1)), odds.cumsum(axis=1)])
        own = sums[:, ends] - sums[:, ends - numbers]
        against: NDArray[np.float64] = own + odds[:, ends[-1] :].sum(axis=1, keepdims=True)
        return against


def best_phrases(
    cosines: NDArray[np.floating[Any]], labels: Sequence[Label]
) -> NDArray[np.floating[Any]]:
    """The cosine of each label's best phrase, shape (n, labels).

    `cosines`, shape (n, phrases or more), begin with those of the labels' phrases. The best one
    counts and not their mean, since phrases may name different things: a tree, a flower.
    """
    ends = np.cumsum([len(label.texts) for label in labels])
    starts = np.concatenate([[0], ends[:-1]])
    return np.maximum.reduceat(cosines[:, : ends[-1]], starts, axis=1)


def softmax(cosines: NDArray[np.floating[Any]], logit_scale: float) -> Probabilities:
    """The probability of each label, shape (n, labels), if exactly one applies: rows sum to 1.

    `logit_scale` is the model's own: what its training multiplied cosines by. A bias, as SigLIP
    has one, would be the same for all labels and change nothing.
    """
    logits = logit_scale * (cosines - cosines.max(axis=1, keepdims=True))
    odds = np.exp(logits.astype(np.float64))
    probabilities: Probabilities = (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)
    return probabilities
