"""Activating a generation that has regions of its own: they become those of the collection.

The former generation keeps what it has as its own, so that a rollback finds it as it was. Notes on
which pictures were looked at stay too: they name their generation.
"""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.database.tables import REGION_ANNOTATORS, Regions, VectorIndex
from app.index import generations
from app.ingest.jobs import job_control
from app.understanding.annotators import annotator_rows
from app.understanding.annotators.annotator_rows import TurnedOn


@dataclass(frozen=True)
class RegionExchange:
    """What is to change: `former` is on now, and `kind` is wanted."""

    former: TurnedOn | None
    kind: Regions

    def end(self, session: Session, retired: VectorIndex, activated: VectorIndex) -> None:
        """Have the collection have the activated generation's regions; what lacks some gets them.

        The looks for pictures that are to be looked at submit that job.
        """
        had: Regions = "off"
        if self.former is not None:
            had = "grid" if self.former.annotator == "grid" else "detector"
        generations.set_own_regions(session, retired, had)
        generations.set_own_regions(session, activated, None)
        if had == self.kind:
            return
        if self.former is not None:
            if self.former.job_id is not None:
                job_control.cancel_if_open(session, self.former.job_id)
            annotator_rows.turn_off(session, self.former)
        if self.kind != "off":
            annotator_rows.turn_on(session, activated.collection_id, self.kind)


def begin(session: Session, target: VectorIndex) -> RegionExchange | None:
    """None if the generation has those of the collection. Locks what others lock first."""
    kind = generations.own_regions(session, target)
    if kind is None:
        return None
    for turned_on in annotator_rows.of_collection(session, target.collection_id):
        if turned_on.annotator in REGION_ANNOTATORS:
            return RegionExchange(annotator_rows.lock(session, turned_on), kind)
    return RegionExchange(None, kind)
