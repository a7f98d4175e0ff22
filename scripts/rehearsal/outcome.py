"""What a rehearsal found: mixed answers, times, and what is missing."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from scripts.rehearsal.clients import Reply

TOLERANCE = 2e-3  # of a score: half precision, and another batch

References = Mapping[tuple[int, str], Mapping[int, float]]
"""By index and text, the scores of all pictures by id."""


def mixed(replies: Iterable[Reply], references: References) -> list[str]:
    """A sentence for each answer that no single generation can have given.

    A generation's answers name one fingerprint, and show each picture with the score that a quiet
    search of the same text gives it; pictures that came later have none to compare.
    """
    fingerprints: dict[int, str] = {}
    found = []
    for reply in replies:
        known = references.get((reply.index_id, reply.text), {})
        compared = [one for one in reply.hits if one in known]
        apart = [abs(reply.hits[one] - known[one]) for one in compared]
        if fingerprints.setdefault(reply.index_id, reply.fingerprint) != reply.fingerprint:
            found.append(f"index {reply.index_id} has two fingerprints")
        elif not compared:
            found.append(f"{reply.text} of index {reply.index_id}: nothing to compare with")
        elif max(apart) > TOLERANCE:
            found.append(
                f"{reply.text} of index {reply.index_id}: a score is {max(apart):.3f} off, "
                f"{reply.phase}"
            )
    return found


def p95_ms(replies: Sequence[Reply], phase: str) -> float:
    """The 95th percentile of what answers of a phase took, in milliseconds; NaN without any."""
    times = [reply.seconds for reply in replies if reply.phase == phase]
    return float(np.percentile(times, 95)) * 1e3 if times else float("nan")


def seconds_until_all_follow(replies: Sequence[Reply], swapped: float, index_id: int) -> float:
    """How long after a swap the last answer of a former index was asked for, 0 if none was.

    `replies` end before the next swap; `swapped` is when the swap was answered.
    """
    late = [reply.began - swapped for reply in replies if reply.index_id != index_id]
    return max([0.0, *late])
