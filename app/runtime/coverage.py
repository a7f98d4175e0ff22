"""How far the pictures of collections are looked at: by each annotator and each label set."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from app.database.connections import Sessions
from app.index import embeddings, vector_indexes
from app.runtime.annotating.annotators import Annotators, CoveredAnnotator
from app.runtime.known_collections import KnownCollection
from app.runtime.labelling.label_sets import CoveredLabelSet, LabelSets

Kind = Literal["annotator", "label_set"]


@dataclass(frozen=True)
class Covered:
    """What an annotator or label set has done; numbers are None where it is not installed.

    `pictures` is the number of those it is for: a label set's are those with a vector.
    """

    kind: Kind
    name: str
    pictures: int | None
    done: int | None
    failed: int | None
    job_id: int | None

    @property
    def sentence(self) -> str:
        """For people: "text: 294 of 295 pictures, 1 failed"."""
        kind = "label set " if self.kind == "label_set" else ""
        if self.pictures is None:
            return f"{kind}{self.name}: not installed here"
        failed = f", {self.failed} failed" if self.failed else ""
        return f"{kind}{self.name}: {self.done} of {self.pictures} pictures{failed}"


@dataclass(frozen=True)
class CoverageReport:
    """Counts when it is asked: a second or so for a million pictures."""

    sessions: Sessions
    annotators: Annotators
    label_sets: LabelSets

    def of(self, known: KnownCollection) -> list[Covered]:
        """The annotators that the collection has on, then its label sets, each by name."""
        annotators = [_of_annotator(one) for one in self.annotators.listed(known)]
        return [*annotators, *self._of_label_sets(known)]

    def _of_label_sets(self, known: KnownCollection) -> Iterator[Covered]:
        found = self.label_sets.listed(known)
        if not found:
            return
        with self.sessions.begin() as session:
            index = vector_indexes.active_index(session, known.collection.id)
            ((_, pictures),) = embeddings.count_covered_each(session, [index])
        for one in found:
            yield _of_label_set(one, pictures, index.fingerprint)


def _of_annotator(found: CoveredAnnotator) -> Covered:
    name, job_id, counts = found.turned_on.annotator, found.turned_on.job_id, found.coverage
    if counts is None:
        return Covered("annotator", name, None, None, None, job_id)
    done = counts.read + counts.skipped
    pictures = done + counts.failed + counts.waiting
    return Covered("annotator", name, pictures, done, counts.failed, job_id)


def _of_label_set(found: CoveredLabelSet, pictures: int, fingerprint: str) -> Covered:
    """Labels by another model than the index's are not done; no picture fails alone."""
    stored = found.stored
    done = found.labelled if stored.fingerprint == fingerprint else 0
    return Covered("label_set", stored.labels.name, pictures, done, 0, stored.job_id)
