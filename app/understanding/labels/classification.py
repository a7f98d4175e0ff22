"""Classifies one picture by labels that come with the request; nothing is stored."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.database.connections import Sessions
from app.database.tables import VectorIndex
from app.encoders.resident_model import ResidentModel
from app.errors import ImageNotFound
from app.index import embeddings
from app.pictures.decoding import decode
from app.understanding.labels.labels import DEFAULT_TEMPLATES, Label, check_labels
from app.understanding.labels.prompts import encode_phrases
from app.understanding.labels.scoring import best_phrases, softmax
from app.vectors import Vectors


@dataclass(frozen=True)
class LabelProbability:
    """A label, and how probable it is, 0 to 1."""

    label: str
    probability: float


@dataclass(frozen=True)
class Classifier:
    """Classifies pictures with the model of one index. It is never called inside a transaction."""

    sessions: Sessions
    encoder: ResidentModel
    index: VectorIndex
    max_megapixels: float

    def classify(
        self,
        picture: bytes | int,
        labels: Sequence[Label],
        templates: Sequence[str] = DEFAULT_TEMPLATES,
    ) -> list[LabelProbability]:
        """Every label with its probability, the most probable first; they sum to 1.

        `picture` is a file, or the id of a picture of the collection. Raises LabelsRejected,
        ImageNotFound, ModelUnavailable, and as `decoding.decode`.
        """
        check_labels(labels, templates)
        vector = self._stored(picture) if isinstance(picture, int) else self._encoded(picture)
        phrases = [phrase for label in labels for phrase in label.texts]
        vectors = encode_phrases(self.encoder.encode_texts, phrases, templates)
        cosines = best_phrases((vector @ vectors.T)[np.newaxis], labels)
        (found,) = softmax(cosines, self.encoder.logit_scale)
        probable = np.argsort(-found, kind="stable")
        return [LabelProbability(labels[n].name, float(found[n])) for n in probable]

    def _encoded(self, data: bytes) -> Vectors:
        vectors = self.encoder.encode_images([decode(data, self.max_megapixels).image])
        vector: Vectors = vectors[0]
        return vector

    def _stored(self, image_id: int) -> Vectors:
        with self.sessions.begin() as session:
            found = embeddings.get_present_vectors(session, self.index, [image_id])
        if image_id not in found:
            raise ImageNotFound(f"This collection has no picture {image_id} with a vector.")
        return found[image_id]
