"""What is searched for: terms of words and pictures, weighted and added up to one vector."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from app import embeddings
from app.chance import picture_share
from app.db import Sessions
from app.download import Downloader
from app.encoders.resident import Resident, normalised
from app.errors import ImageRejected, QueryRejected, SourceUnavailable
from app.pictures import PillowImage, decode
from app.tables import VectorIndex
from app.vectors import Vectors, unit_rows

MAX_QUERY_CHARACTERS = 1_000
MAX_TERMS = 16
MAX_WEIGHT = 100.0  # its magnitude
SHORTEST = 1e-3  # length of a sum of terms: below it they have cancelled each other out


@dataclass(frozen=True)
class Term:
    """One of a query's terms; exactly one of `text`, `image` (a file), `url`, `image_id` is set."""

    weight: float = 1.0
    text: str | None = None
    image: bytes | None = None
    url: str | None = None
    image_id: int | None = None

    @property
    def shown(self) -> str:
        """What it is, in an explanation."""
        if self.text is not None:
            return self.text
        if self.image is not None:
            return "the picture that was sent"
        return self.url or f"picture {self.image_id}"

    @property
    def told_apart_by(self) -> list[object]:
        """What makes it another term, as JSON has it."""
        sent = None if self.image is None else hashlib.sha256(self.image).hexdigest()
        return [self.weight, self.text, sent, self.url, self.image_id]


@dataclass(frozen=True)
class Part:
    """A term in the sum: what it is called, its weight, and its vector, shape (dimensions,)."""

    shown: str
    weight: float
    vector: Vectors


@dataclass(frozen=True, eq=False)
class Query:
    """`vector` has the shape (dimensions,); `words` are those of its texts of positive weight.

    `picture_share` as of `chance.picture_share`. `parts` are known where it was just encoded.
    """

    vector: Vectors
    words: str
    picture_share: float
    parts: Sequence[Part] = ()


@dataclass(frozen=True)
class QueryEncoder:
    """Encodes for one index. The model is never called inside a transaction."""

    sessions: Sessions
    encoder: Resident
    index: VectorIndex
    downloader: Downloader
    max_megapixels: float

    def encode(self, terms: Sequence[Term]) -> Query:
        """The weighted sum of the terms, of length 1.

        Raises QueryRejected, and as `pictures.decode` and `Downloader.fetch`, naming the term.
        """
        check_terms(terms)
        vectors = self._vectors(terms)
        parts = [Part(term.shown, term.weight, vectors[place]) for place, term in enumerate(terms)]
        texts = [term for term in terms if term.text is not None]
        pictures = [term.weight for term in terms if term.text is None]
        return Query(
            _sum(parts),
            " ".join(normalised(term.text or "") for term in texts if term.weight > 0),
            picture_share([term.weight for term in texts], pictures),
            parts,
        )

    def _vectors(self, terms: Sequence[Term]) -> dict[int, Vectors]:
        """By the places of the terms; all texts are encoded at once, and all pictures."""
        texts, pictures, known = {}, {}, {}
        for place, term in enumerate(terms):
            if term.text is not None:
                texts[place] = term.text
            elif term.image_id is not None:
                known[place] = term.image_id
            else:
                pictures[place] = self._picture(term, place)
        found = self._stored(known)
        if texts:
            encoded = self.encoder.encode_texts(list(texts.values()))
            found.update(zip(texts, encoded, strict=True))
        if pictures:
            encoded = self.encoder.encode_images(list(pictures.values()))
            found.update(zip(pictures, encoded, strict=True))
        return found

    def _picture(self, term: Term, place: int) -> PillowImage:
        try:
            data = term.image
            if data is None:
                data = self.downloader.fetch(term.url or "").data
            return decode(data, self.max_megapixels).image
        except ImageRejected as error:
            raise type(error)(f"{_place(place)}: {error}") from error
        except SourceUnavailable as error:  # the one who asks names the server: it is no 5xx
            raise QueryRejected(f"{_place(place)}: {error}") from error

    def _stored(self, known: Mapping[int, int]) -> dict[int, Vectors]:
        """The vectors of pictures that are here already, by place."""
        if not known:
            return {}
        with self.sessions.begin() as session:
            found = embeddings.get_vectors(session, self.index, list(known.values()))
        for place, image_id in known.items():
            if image_id not in found:
                raise QueryRejected(
                    f"{_place(place)}: this collection has no picture {image_id} with a vector."
                )
        return {place: found[image_id] for place, image_id in known.items()}


def check_terms(terms: Sequence[Term]) -> None:
    """Raise QueryRejected where the terms cannot be searched for."""
    if not 1 <= len(terms) <= MAX_TERMS:
        raise QueryRejected(f"query: {len(terms)} terms; 1 to {MAX_TERMS} are allowed.")
    for place, term in enumerate(terms):
        if not (0 < abs(term.weight) <= MAX_WEIGHT):
            raise QueryRejected(
                f"{_place(place)}.weight: {term.weight:g} is out of bounds: "
                f"not 0, and at most {MAX_WEIGHT:g} either way."
            )
        if term.text is not None:
            check_text(term.text)


def check_text(query: str) -> None:
    """Raise QueryRejected where `query` cannot be searched for."""
    if not query.strip():
        raise QueryRejected("The query is empty: say in words what the picture shows.")
    if len(query) > MAX_QUERY_CHARACTERS:
        raise QueryRejected(
            f"The query has {len(query)} characters; {MAX_QUERY_CHARACTERS} are allowed."
        )
    if "\0" in query or any("\ud800" <= character <= "\udfff" for character in query):
        raise QueryRejected("The query holds a NUL or half of a surrogate pair: it is no text.")


def _place(place: int) -> str:
    return f"query[{place}]"


def _sum(parts: Sequence[Part]) -> Vectors:
    """Raises QueryRejected where nothing is left."""
    total = np.sum([part.weight * part.vector for part in parts], axis=0)
    largest = max(abs(part.weight) for part in parts)
    if np.linalg.norm(total) < SHORTEST * largest:
        raise QueryRejected("query: the terms cancel each other out: nothing is left to search.")
    unit: Vectors = unit_rows(total[np.newaxis].astype(np.float32))[0]
    return unit
