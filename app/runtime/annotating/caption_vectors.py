"""Embeds the texts of captions, by the collection's sentence model, or else by its index's model.

They are searched as a ranking of their own. Each new generation and each new sentence model gets
them anew.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from app.catalog import collections
from app.database.connections import Sessions
from app.database.tables import VectorIndex
from app.encoders.batching import Priority
from app.encoders.sentences import SentenceModels
from app.errors import Interrupted
from app.index import vector_indexes
from app.ingest.jobs import job_steps
from app.ingest.jobs.jobs import Job
from app.runtime.collection_registry import CollectionRegistry
from app.understanding.captions import caption_vector_rows
from app.understanding.captions.caption_vector_rows import CaptionSpace
from app.vectors import Vectors

BATCH = 128  # captions in one transaction


@dataclass(frozen=True)
class _Model:
    """What embeds a collection's captions now: a sentence model, if it has a name, or the index's.

    The vectors are of `space`.
    """

    sentence_model: str | None
    index: VectorIndex
    space: CaptionSpace


@dataclass(frozen=True)
class CaptionVectors:
    """Fills what is missing, on the calling thread; `stop` interrupts."""

    sessions: Sessions
    registry: CollectionRegistry
    sentences: SentenceModels
    stop: threading.Event

    def fill(self, job: Job) -> None:
        """Embed all captions of the job's collection that have no vector, each a step of the job.

        Raises Interrupted, also if the job was cancelled, AnnotatorUnavailable, ModelUnavailable.
        """
        counted: CaptionSpace | None = None
        before: list[int] = []
        while True:
            if self.stop.is_set():
                raise Interrupted("The worker stops.")
            model = self._model(job.collection_id)
            with self.sessions.begin() as session:
                if model.space != counted:  # first, and where another was chosen meanwhile
                    missing = caption_vector_rows.count_without_vector(session, model.space)
                    job_steps.extend(session, job.id, missing)
                captions = caption_vector_rows.without_vector(session, model.space, BATCH)
            ids = [one.image_id for one in captions]
            if not captions or (model.space, ids) == (counted, before):
                return  # what is left is changing: the next job's
            space, vectors = self._embedded(model, [one.text for one in captions])
            with self.sessions.begin() as session:
                name = model.sentence_model
                if caption_vector_rows.keep_sentence_model(session, job.collection_id, name):
                    caption_vector_rows.put_vectors(session, space, captions, vectors)
                job_steps.count(session, job.id, len(captions))
            counted, before = model.space, ids

    def close_if_idle(self) -> None:
        """Free the memory of sentence models that have had nothing to do for a while."""
        self.sentences.close_if_idle()

    def _model(self, collection_id: int) -> _Model:
        """Loads the sentence model, if there is one."""
        with self.sessions.begin() as session:
            name = collections.get_by_id(session, collection_id).sentence_model
            index = vector_indexes.active_index(session, collection_id)
        if name is None:
            return _Model(None, index, CaptionSpace.of_index(index))
        fingerprint = self.sentences.of(name).load().fingerprint
        return _Model(name, index, CaptionSpace.of_sentences(collection_id, fingerprint))

    def _embedded(self, model: _Model, texts: Sequence[str]) -> tuple[CaptionSpace, Vectors]:
        """Vectors of the texts, and whose they are: the files may have changed a moment ago."""
        if model.sentence_model is None:
            encoder = self.registry.models.encoder_of(model.index)
            return model.space, encoder.encode_texts(texts, Priority.INDEXING)
        found = self.sentences.of(model.sentence_model).encode_captions(texts)
        space = CaptionSpace.of_sentences(model.index.collection_id, found.fingerprint)
        return space, found.vectors
