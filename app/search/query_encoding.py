"""What is searched for: terms of words and pictures, weighted and added up to one vector."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from app.database.connections import Sessions
from app.database.tables import VectorIndex
from app.encoders.batching import Priority
from app.encoders.resident import ResidentModel, normalised
from app.errors import ImageRejected, QueryRejected, SourceUnavailable
from app.feedback.query_adjustment import QueryAdjustment
from app.feedback.rocchio import Pull
from app.index import embeddings
from app.index.calibration import picture_share
from app.pictures.decoding import decode
from app.sources.download import Downloader
from app.vectors import Vectors

if TYPE_CHECKING:  # torch takes seconds to import
    from app.encoders.interfaces import Pixels

MAX_QUERY_CHARACTERS = 1_000
MAX_TERMS = 16
MAX_URLS = 2  # of them that are fetched: each may take QUERY_SECONDS, and a thread for it
QUERY_SECONDS = 5.0  # for a URL's file, redirects and all
MAX_WEIGHT = 100.0  # its magnitude
SENT_PICTURE = "the picture that was sent"
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
            return SENT_PICTURE
        return self.url or f"picture {self.image_id}"

    @property
    def told_apart_by(self) -> list[object]:
        """What makes it another term, as JSON has it."""
        sent = None if self.image is None else hashlib.sha256(self.image).hexdigest()
        return [self.weight, self.text, sent, self.url, self.image_id]


@dataclass(frozen=True)
class Part:
    """A term in the sum: what it is called, its weight, and its vector, shape (dimensions,).

    `share` is its weight in the sum once that has the length 1.
    """

    shown: str
    weight: float
    share: float
    vector: Vectors


@dataclass(frozen=True, eq=False)
class Query:
    """What is searched by: `vector`, shape (dimensions,); `plain` is it before judgements moved it.

    `words` are those of its texts of positive weight; of words alone, the vectors have the shape
    (0,). `picture_share` as of `calibration.picture_share`. `shown` is what was asked, for people,
    and `text` the same where it is one text. `parts` are known where it was just encoded, and
    `pulls`, which are the judgements that have moved it.
    """

    vector: Vectors
    plain: Vectors
    words: str
    picture_share: float
    shown: str
    text: str | None = None
    parts: Sequence[Part] = ()
    pulls: Sequence[Pull] = ()

    @property
    def length(self) -> float:
        """Of the sum of the plain vector and the pulls, before it was made 1."""
        total = self.plain + sum((pull.weight * pull.vector for pull in self.pulls), 0.0)
        return float(np.linalg.norm(total))


@dataclass(frozen=True)
class QueryEncoder:
    """Encodes for one index. The model is never called inside a transaction."""

    sessions: Sessions
    encoder: ResidentModel
    index: VectorIndex
    query_adjustment: QueryAdjustment
    downloader: Downloader
    max_megapixels: float

    def encode(self, terms: Sequence[Term]) -> Query:
        """The weighted sum of the terms, of length 1, moved by what people judged.

        Raises QueryRejected, and as `pictures.decode` and `Downloader.fetch`, naming the term.
        """
        check_terms(terms)
        vectors = self._vectors(terms)
        places = range(len(terms))
        total, length = _sum([terms[n].weight for n in places], [vectors[n] for n in places])
        parts = [
            Part(terms[n].shown, terms[n].weight, terms[n].weight / length, vectors[n])
            for n in places
        ]
        texts = [term.weight for term in terms if term.text is not None]
        pictures = [term.weight for term in terms if term.text is None]
        return self._moved(
            total,
            words=_words(terms),
            picture_share=picture_share(texts, pictures),
            shown=_shown(terms),
            text=_one_text(terms),
            parts=parts,
        )

    def _moved(self, plain: Vectors, **told: Any) -> Query:
        moved = self.query_adjustment.moved(plain)
        return Query(moved.vector, plain, pulls=moved.pulls, **told)

    def encode_text(self, text: str) -> Query:
        """The same of one text. Raises QueryRejected."""
        check_text(text)
        vector = self.encoder.encode_texts([text])[0]
        said = normalised(text)
        return self._moved(vector, words=said, picture_share=0.0, shown=said, text=said)

    def encode_picture(self, data: bytes) -> Query:
        """The same of the picture in the file `data`. Raises as `pictures.decode`."""
        picture = decode(data, self.max_megapixels)
        vector = self.encoder.encode_images([picture.image])[0]
        return self._moved(vector, words="", picture_share=1.0, shown=SENT_PICTURE)

    def _vectors(self, terms: Sequence[Term]) -> dict[int, Vectors]:
        """By the places of the terms; all texts are encoded at once, and all pictures."""
        texts: dict[int, str] = {}
        pictures: dict[int, Pixels] = {}
        known: dict[int, int] = {}
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
            encoding = self.encoder.submit(list(pictures.values()), Priority.SEARCH)
            found.update(zip(pictures, encoding.result(), strict=True))
        return found

    def _picture(self, term: Term, place: int) -> "Pixels":
        """Prepared at once: many large pictures would not fit into memory together."""
        try:
            data = term.image
            if data is None:
                data = self.downloader.fetch(term.url or "").data
            return self.encoder.prepare(decode(data, self.max_megapixels).image)
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
    if sum(term.url is not None for term in terms) > MAX_URLS:
        raise QueryRejected(f"query: {MAX_URLS} terms may be URLs; send the others' pictures.")
    for place, term in enumerate(terms):
        if not (0 < abs(term.weight) <= MAX_WEIGHT):
            raise QueryRejected(
                f"{_place(place)}.weight: {term.weight:g} is out of bounds: "
                f"not 0, and at most {MAX_WEIGHT:g} either way."
            )
        if term.text is not None:
            _check_text_of(term.text, place, len(terms))


def _check_text_of(text: str, place: int, terms: int) -> None:
    try:
        check_text(text)
    except QueryRejected as error:
        if terms == 1:
            raise
        raise QueryRejected(f"{_place(place)}: {error}") from error


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


def words_alone(terms: Sequence[Term]) -> Query:
    """A query that no model is needed for. Raises QueryRejected."""
    check_terms(terms)
    none = np.empty(0, np.float32)
    words = _words(terms)
    return Query(none, none, words, 0.0, words, words)


def _one_text(terms: Sequence[Term]) -> str | None:
    """What was asked, where it is one text; its weight changes nothing unless it is negative."""
    (first, *others) = terms
    if others or first.text is None or first.weight < 0:
        return None
    return normalised(first.text)


def _shown(terms: Sequence[Term]) -> str:
    """What was asked, for people: `a car − 0.5 × red`."""
    if len(terms) == 1 and terms[0].weight > 0:
        return normalised(terms[0].shown)
    told = [f"{_sign(term)}{normalised(term.shown)}" for term in terms]
    return " ".join(told).removeprefix("+ ")


def _sign(term: Term) -> str:
    sign = "−" if term.weight < 0 else "+"
    return f"{sign} " if abs(term.weight) == 1 else f"{sign} {abs(term.weight):g} × "


def _words(terms: Sequence[Term]) -> str:
    return " ".join(normalised(term.text) for term in terms if term.text and term.weight > 0)


def _sum(weights: Sequence[float], vectors: Sequence[Vectors]) -> tuple[Vectors, float]:
    """The weighted sum, of length 1, and its length before.

    Raises QueryRejected where nothing is left.
    """
    total = np.asarray(weights) @ np.stack(vectors)
    length = float(np.linalg.norm(total))
    if length < SHORTEST * max(map(abs, weights)):
        raise QueryRejected("query: the terms cancel each other out: nothing is left to search.")
    return (total / length).astype(np.float32), length
