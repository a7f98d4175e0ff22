"""The requests about evaluations: begin one, read what it found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

from sqlalchemy.orm import Session

from app.database.connections import Sessions
from app.database.locks import retry_on_lock
from app.encoders.model_pool import ModelName
from app.errors import EvaluationRejected, GenerationConflict
from app.feedback.golden import golden_rows
from app.feedback.golden.golden_rows import GoldenQuery
from app.index import generations
from app.ingest.jobs import jobs
from app.ingest.jobs.job_control import EVALUATION
from app.ingest.jobs.jobs import NewJob
from app.runtime.collection_registry import CollectionRegistry
from app.runtime.evaluation import evaluation_rows
from app.runtime.evaluation.evaluation_rows import StoredEvaluation
from app.runtime.known_collections import KnownCollection

MAX_SYSTEMS = 5  # in one evaluation, besides the active generation
DEFAULT_SAMPLE = 1_000  # random pictures, where a model has no generation
MAX_SAMPLED = 10_000  # pictures, named ones included: 40 MB of vectors for each system


@dataclass(frozen=True)
class Asked:
    """What is compared with the active generation: other generations, and models.

    Where a model has no generation, all are compared on a sample of the collection: the pictures
    that golden queries name and `sample` random others.
    """

    generations: Sequence[int] = ()
    models: Sequence[ModelName] = ()
    sample: int = DEFAULT_SAMPLE

    def to_json(self) -> dict[str, Any]:
        """As the job of the evaluation keeps it."""
        return {
            "generations": list(self.generations),
            "models": [vars(one) for one in self.models],
            "sample": self.sample,
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        models = [ModelName(**one) for one in kept["models"]]
        return cls(kept["generations"], models, kept["sample"])


@dataclass(frozen=True)
class Evaluations:
    """Answers requests about evaluations. `queue` is that of this disk."""

    sessions: Sessions
    registry: CollectionRegistry
    queue: str
    max_resident_models: int

    def submit(self, known: KnownCollection, asked: Asked) -> int:
        """A job that compares them with the active generation; returns its id.

        Raises EvaluationRejected, CollectionRejected, GenerationNotFound, GenerationConflict.
        """
        others = [one for one in dict.fromkeys(asked.generations) if one != known.index.id]
        models = list(dict.fromkeys(asked.models))
        if len(others) + len(models) > MAX_SYSTEMS:
            raise EvaluationRejected(
                f"At most {MAX_SYSTEMS} generations and models are compared with the active one."
            )
        for model in models:
            self.registry.models.allowed(model)
        asked = Asked([known.index.id, *others], models, asked.sample)
        return retry_on_lock(self.sessions, partial(self._begin, known=known, asked=asked))

    def _begin(self, session: Session, known: KnownCollection, asked: Asked) -> int:
        collection_id = known.collection.id
        found = [generations.get(session, collection_id, one) for one in asked.generations]
        for one in found:
            if one.state == "building":
                raise GenerationConflict(
                    f"Generation {one.index.id} is still building: wait for the end of its job."
                )
        is_same = {one.index.fingerprint for one in found} == {known.index.fingerprint}
        if self.max_resident_models < 2 and (asked.models or not is_same):
            raise EvaluationRejected(
                "Two models must fit into memory for this. Set IMAGE_SEARCH_MAX_RESIDENT_MODELS=2."
            )
        usable_queries(session, collection_id)
        new = NewJob(collection_id, {EVALUATION: asked.to_json()}, self.queue)
        return jobs.create(session, new)

    def result(self, known: KnownCollection, job_id: int) -> StoredEvaluation:
        """What an evaluation found. Raises EvaluationNotFound."""
        with self.sessions.begin() as session:
            return evaluation_rows.get(session, known.collection.id, job_id)


def usable_queries(session: Session, collection_id: int) -> list[GoldenQuery]:
    """The golden queries that should find something. Raises EvaluationRejected if there is none."""
    found = golden_rows.page(session, collection_id, 0, golden_rows.MAX_QUERIES)
    usable = [one for one in found if one.relevant]
    if not usable:
        raise EvaluationRejected(
            "This collection has no golden query with a relevant picture: add some first, see "
            "docs/evaluation.md."
        )
    return usable
