"""Which sentence model a collection's captions are compared by; none: the model of its index."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.catalog import collections
from app.encoders.sentences import SentenceModels
from app.errors import CollectionRejected
from app.index import vector_indexes
from app.understanding.captions import caption_vector_rows
from app.understanding.captions.caption_vector_rows import CaptionSpace


@dataclass(frozen=True)
class SentenceChoice:
    """Checks and writes the choice; collections may choose from `names`."""

    models: SentenceModels
    names: Sequence[str]

    def check(self, name: str) -> None:
        """Load the model, downloaded if needed, so that no search finds that it cannot be had.

        Raises CollectionRejected, AnnotatorUnavailable, ModelUnavailable.
        """
        if name not in self.names:
            raise CollectionRejected(
                f"sentence_model: {name} is not open to collections: IMAGE_SEARCH_SENTENCE_MODELS "
                "names those that are."
            )
        self.models.of(name).load()

    def write(self, session: Session, collection_id: int, name: str | None) -> None:
        """Note the choice; without a sentence model, vectors by former ones go."""
        before = collections.lock(session, collection_id)
        collections.set_sentence_model(session, before, name)
        if name is None:
            caption_vector_rows.drop_sentences(session, collection_id)

    def is_any_missing(self, session: Session, collection_id: int) -> bool:
        """Whether a caption has no vector; False where its sentence model is not on this disk.

        That is for whoever has it to see: nothing is loaded or downloaded here. Raises
        CollectionNotFound, IndexGone.
        """
        name = collections.get_by_id(session, collection_id).sentence_model
        if name is None:
            space = CaptionSpace.of_index(vector_indexes.active_index(session, collection_id))
        elif fingerprint := self.models.of(name).fingerprint():
            space = CaptionSpace.of_sentences(collection_id, fingerprint)
        else:
            return False
        return bool(caption_vector_rows.without_vector(session, space, limit=1))
