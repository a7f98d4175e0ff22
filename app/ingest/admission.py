"""What new pictures pass on their way in: the gates, then their rows, vectors and labels.

Both ways of adding pictures, uploads and jobs, end here, so that neither can forget a gate.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from sqlalchemy.orm import Session

from app.catalog.images import held_images, image_deletion, image_rows
from app.catalog.images.held_images import Reason
from app.catalog.images.new_images import NewImage
from app.catalog.skipped_files import forget_refused
from app.catalog.standing import new_image_rows
from app.database.connections import Sessions
from app.database.tables import Image, VectorIndex
from app.encoders.batching import Priority
from app.encoders.resident_model import ResidentModel
from app.errors import GateRefused, GateUnready
from app.index import vector_indexes
from app.understanding.annotators import annotation_rows
from app.understanding.labels.gates import Verdict
from app.understanding.labels.labelling import Labeller, embed_prompts
from app.vectors import Vectors

T = TypeVar("T")

ATTEMPTS = 3  # to write while somebody is changing gates


@dataclass(frozen=True)
class Admitted:
    """What became of a new picture: `image` is None if a gate refused it, as `verdict` says.

    With both the picture is held for review.
    """

    image: Image | None
    verdict: Verdict | None = None


@dataclass(frozen=True)
class Admission:
    """Adds new pictures to one index."""

    sessions: Sessions
    encoder: ResidentModel
    index: VectorIndex
    labeller: Labeller

    def write(self, work: Callable[[Session], T]) -> T:
        """Do `work`, which admits pictures, in a transaction, with every gate ready before.

        Raises GateUnready where gates are changed again and again, and what `work` raises.
        """
        for _ in range(ATTEMPTS - 1):
            self._prepare()
            try:
                with self.sessions.begin() as session:
                    return work(session)
            except GateUnready:
                continue
        self._prepare()
        with self.sessions.begin() as session:
            return work(session)

    def _prepare(self) -> None:
        """Embed the prompts of gates that are new, if this is still the collection's index."""
        with self.sessions.begin() as session:
            unready = self.labeller.unready(session)
            if not unready:
                return
            active = vector_indexes.active_index(session, self.index.collection_id)
            if active.id != self.index.id:
                return  # the write is refused anyway
        encode = partial(self.encoder.encode_texts, priority=Priority.UPLOAD)
        for stored in unready:
            embed_prompts(self.sessions, stored, self.index.space, encode, self.encoder.logit_scale)
            with self.sessions.begin() as session:
                forget_refused(session, self.index.collection_id, GateRefused.code)

    def admit(
        self,
        session: Session,
        new: Sequence[NewImage],
        vectors: Vectors,
        pages: Sequence[Mapping[int, Vectors]],
    ) -> list[Admitted]:
        """Write the rows of pictures, in their order, unless a gate refuses them.

        `vectors` are float32 (len(new), dimensions), `pages` those of further pages. A row that the
        path of a refused picture has is deleted: its file shows something else now. Raises
        GateUnready, IndexGone.
        """
        verdicts = self.labeller.judge(session, vectors) if new else {}
        refused = {n: verdict for n, verdict in verdicts.items() if verdict.refused}
        self._drop(session, [new[n].path for n in refused])
        fresh = [n for n in range(len(new)) if n not in refused]
        images = image_rows.add_images(session, self.index, [new[n] for n in fresh], vectors[fresh])
        ids = [image.id for image in images]
        self.labeller.label(session, ids, vectors[fresh])
        annotation_rows.mark_new(session, ids)
        image_rows.put_pages(session, self.index, images, [pages[n] for n in fresh])
        held_images.forget(session, ids)
        reasons = {image.id: verdicts.get(n) for n, image in zip(fresh, images, strict=True)}
        held_images.hold(session, {id_: _reason(one) for id_, one in reasons.items() if one})
        new_image_rows.note(session, ids)
        added = dict(zip(fresh, images, strict=True))
        return [Admitted(added.get(n), verdicts.get(n)) for n in range(len(new))]

    def _drop(self, session: Session, paths: Sequence[str]) -> None:
        if paths:
            known = image_rows.files_at(session, self.index.collection_id, paths)
            image_deletion.mark_deleted(session, list(known.values()))


def _reason(verdict: Verdict) -> Reason:
    return Reason(verdict.set_name, verdict.label, verdict.probability)
