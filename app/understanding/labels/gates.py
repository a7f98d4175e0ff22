"""What label sets that are gates say to new pictures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.errors import GateRefused
from app.understanding.labels.labels import Gate, LabelSet
from app.understanding.labels.scoring import Held

HELD = "held_for_review"  # code of the remark on a job's file


@dataclass(frozen=True)
class Verdict:
    """Why a gate stops a picture: the label that it gets by the set, and how probable that is."""

    gate: Gate
    set_name: str
    label: str
    probability: float

    @property
    def refused(self) -> bool:
        """Whether the picture is not to be stored at all."""
        return self.gate == "refuse"

    def refusal(self) -> GateRefused:
        """What the sender is told."""
        return GateRefused(
            f"It shows {self.label!r} with a probability of {self.probability:.2f}, and this "
            f"collection refuses such pictures (label set {self.set_name!r})."
        )

    def note(self) -> str:
        """What the sender of a picture that is held is told."""
        return (
            f"Held for review: it shows {self.label!r} with a probability of "
            f"{self.probability:.2f} (label set {self.set_name!r})."
        )


def verdicts_of(labels: LabelSet, held: Held) -> dict[int, Verdict]:
    """The gate's verdict on the pictures that it stops, by position: of its most probable label."""
    if labels.gate is None:
        return {}
    found: dict[int, Verdict] = {}
    for n in np.argsort(held.probabilities, kind="stable"):
        if held.labels[n] in labels.stopping:
            probability = float(held.probabilities[n])
            verdict = Verdict(labels.gate, labels.name, held.labels[n], probability)
            found[int(held.pictures[n])] = verdict
    return found


def strictest(verdicts: Sequence[Verdict]) -> Verdict:
    """Of what several gates say to one picture: to refuse it counts more than to flag it."""
    return max(verdicts, key=lambda one: (one.refused, one.probability))
