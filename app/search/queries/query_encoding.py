"""Encodes a query: weighted texts and pictures, added up to one vector."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from app.catalog.stored_originals import READ_ERRORS, StoredOriginals
from app.database.connections import Sessions
from app.database.tables import VectorIndex
from app.encoders.batching import Priority
from app.encoders.resident_model import ResidentModel, normalised
from app.errors import (
    ImageRejected,
    ImageSearchError,
    ImageVanished,
    QueryRejected,
    SourceUnavailable,
)
from app.feedback.query_adjustment import QueryAdjustment
from app.feedback.rocchio import Pull
from app.index import embeddings, missing_vectors
from app.index.calibration import picture_share
from app.pictures.crops import Box, crop
from app.pictures.decoding import decode
from app.search.attempts import attempt
from app.search.caption_search import CaptionQuery
from app.search.queries.language_notice import LanguageNotice
from app.search.queries.query_terms import (
    UPLOADED_PICTURE,
    Term,
    check_terms,
    check_text,
    label_of,
    path_of,
    single_text,
    words_of,
)
from app.sources.download import Downloader
from app.vectors import Vectors

if TYPE_CHECKING:  # torch takes seconds to import
    from app.encoders.interfaces import Pixels

URL_FETCH_SECONDS = 5.0  # for one URL, including redirects
MIN_SUM_LENGTH = 1e-3  # a shorter sum means that the terms have cancelled each other out


@dataclass(frozen=True)
class EncodedTerm:
    """A term with its vector, shape (dimensions,).

    `share` is its weight after the sum was scaled to unit length.
    """

    label: str
    weight: float
    share: float
    vector: Vectors


@dataclass(frozen=True, eq=False)
class Query:
    """An encoded query: `vector`, shape (dimensions,), and `original`, as it was before feedback.

    `words` are those of its texts of positive weight. A purely lexical query has vectors of shape
    (0,). `picture_share` is that of `calibration.picture_share`. `label` describes the query in
    words; `text` is set if it is a single text. `terms`, and the `pulls` with which feedback has
    adjusted it, are known only where it was just encoded, as is `unused_text`, the ends of texts
    that exceed the model's context. `captions` is what a sentence model made of its texts.
    """

    vector: Vectors
    original: Vectors
    words: str
    picture_share: float
    label: str
    text: str | None = None
    terms: Sequence[EncodedTerm] = ()
    pulls: Sequence[Pull] = ()
    unused_text: str = ""
    captions: CaptionQuery | None = None

    @property
    def length(self) -> float:
        """The norm of the sum of `original` and the pulls, before it was normalised."""
        total = self.original + sum((pull.weight * pull.vector for pull in self.pulls), 0.0)
        return float(np.linalg.norm(total))


@dataclass(frozen=True)
class _Prepared:
    """A query before the model: texts, pictures and known vectors by the position of the term."""

    terms: Sequence[Term]
    texts: dict[int, str] = field(default_factory=dict)
    pictures: "dict[int, Pixels]" = field(default_factory=dict)
    vectors: dict[int, Vectors] = field(default_factory=dict)


@dataclass(frozen=True)
class QueryEncoder:
    """Encodes queries for one index. The model is never called inside a transaction."""

    sessions: Sessions
    encoder: ResidentModel
    index: VectorIndex
    query_adjustment: QueryAdjustment
    downloader: Downloader
    max_megapixels: float
    originals: StoredOriginals
    language_notice: LanguageNotice

    def encode(self, terms: Sequence[Term]) -> Query:
        """The normalised weighted sum of the terms, adjusted by feedback.

        Raises QueryRejected, and as `decoding.decode` and `Downloader.fetch`, naming the term.
        """
        (query,) = self.encode_all([terms])
        if isinstance(query, ImageSearchError):
            raise query
        return query

    def encode_all(self, queries: Sequence[Sequence[Term]]) -> list[Query | ImageSearchError]:
        """As `encode` for each, with one call of the model for all texts, and one for all pictures.

        In place of a query that `encode` would refuse is its error. Raises ModelUnavailable.
        """
        prepared = [attempt(self._prepare, terms) for terms in queries]
        valid = [one for one in prepared if not isinstance(one, ImageSearchError)]
        self._encode_texts(valid)
        self._encode_pictures(valid)
        return [
            one if isinstance(one, ImageSearchError) else attempt(self._add_up, one)
            for one in prepared
        ]

    def _prepare(self, terms: Sequence[Term]) -> "_Prepared":
        """Raises as `encode`."""
        check_terms(terms)
        prepared = _Prepared(terms)
        stored_ids: dict[int, int] = {}
        for position, term in enumerate(terms):
            if term.text is not None:
                prepared.texts[position] = term.text
            elif term.image_id is not None:
                stored_ids[position] = term.image_id
            else:
                prepared.pictures[position] = self._picture(term, position)
        prepared.vectors.update(self._stored(stored_ids))
        for position, image_id in stored_ids.items():
            if (box := terms[position].box) is not None:
                del prepared.vectors[position]
                prepared.pictures[position] = self._part(image_id, box, position)
        return prepared

    def _encode_texts(self, queries: Sequence["_Prepared"]) -> None:
        texts = [text for query in queries for text in query.texts.values()]
        if texts:
            self.language_notice.look_at(self.index.model, texts)
            rows = iter(self.encoder.encode_texts(texts))
            for query in queries:
                query.vectors.update((position, next(rows)) for position in query.texts)

    def _encode_pictures(self, queries: Sequence["_Prepared"]) -> None:
        pictures = [pixels for query in queries for pixels in query.pictures.values()]
        if pictures:
            rows = iter(self.encoder.submit(pictures, Priority.SEARCH).result())
            for query in queries:
                query.vectors.update((position, next(rows)) for position in query.pictures)

    def _add_up(self, prepared: "_Prepared") -> Query:
        """Raises QueryRejected."""
        terms, vectors = prepared.terms, prepared.vectors
        positions = range(len(terms))
        total, length = weighted_sum(
            [terms[n].weight for n in positions], [vectors[n] for n in positions]
        )
        encoded = [
            EncodedTerm(terms[n].label, terms[n].weight, terms[n].weight / length, vectors[n])
            for n in positions
        ]
        texts = [term.weight for term in terms if term.text is not None]
        pictures = [term.weight for term in terms if term.text is None]
        return self._adjusted(
            total,
            words=words_of(terms),
            picture_share=picture_share(texts, pictures),
            label=label_of(terms),
            text=single_text(terms),
            terms=encoded,
            unused_text=self._unused_text(list(prepared.texts.values())),
        )

    def _adjusted(self, original: Vectors, **fields: Any) -> Query:
        adjusted = self.query_adjustment.adjust(original)
        return Query(adjusted.vector, original, pulls=adjusted.pulls, **fields)

    def encode_text(self, text: str) -> Query:
        """Encode a single text. Raises QueryRejected."""
        check_text(text)
        self.language_notice.look_at(self.index.model, [text])
        vector = self.encoder.encode_texts([text])[0]
        normalised_text = normalised(text)
        return self._adjusted(
            vector,
            words=normalised_text,
            picture_share=0.0,
            label=normalised_text,
            text=normalised_text,
            unused_text=self._unused_text([text]),
        )

    def _unused_text(self, texts: Sequence[str]) -> str:
        return " … ".join(filter(None, map(self.encoder.unused_end, texts)))

    def encode_picture(self, data: bytes) -> Query:
        """Encode the picture in the file `data`. Raises as `decoding.decode`."""
        picture = decode(data, self.max_megapixels)
        vector = self.encoder.encode_images([picture.image])[0]
        return self._adjusted(vector, words="", picture_share=1.0, label=UPLOADED_PICTURE)

    def _picture(self, term: Term, position: int) -> "Pixels":
        """Preprocess immediately: several large decoded pictures would not fit into memory."""
        try:
            data = term.image
            if data is None:
                data = self.downloader.fetch(term.url or "").data
            return self.encoder.prepare(decode(data, self.max_megapixels).image)
        except ImageRejected as error:
            raise type(error)(f"{path_of(position)}: {error}") from error
        except SourceUnavailable as error:  # the client named the server, so this is not a 5xx
            raise QueryRejected(f"{path_of(position)}: {error}") from error

    def _part(self, image_id: int, box: Box, position: int) -> "Pixels":
        """A part of a stored picture. Raises QueryRejected, and as `decoding.decode`."""
        with self.sessions.begin() as session:
            found = missing_vectors.pictures(session, [image_id])
        try:
            if not found:
                raise ImageVanished("It was deleted a moment ago.")
            image = self.originals.first_page(found[0])
        except READ_ERRORS as error:
            raise QueryRejected(
                f"{path_of(position)}.box: the file of picture {image_id} cannot be read, so no "
                f"part of it can be searched for. {error}"
            ) from error
        return self.encoder.prepare(crop(image, box))

    def _stored(self, stored_ids: Mapping[int, int]) -> dict[int, Vectors]:
        """The vectors of stored pictures, by position."""
        if not stored_ids:
            return {}
        with self.sessions.begin() as session:
            found = embeddings.get_present_vectors(session, self.index, list(stored_ids.values()))
        for position, image_id in stored_ids.items():
            if image_id not in found:
                raise QueryRejected(
                    f"{path_of(position)}: this collection has no picture {image_id} with a vector."
                )
        return {position: found[image_id] for position, image_id in stored_ids.items()}


def lexical_query(terms: Sequence[Term]) -> Query:
    """A query that needs no model. Raises QueryRejected."""
    check_terms(terms)
    none = np.empty(0, np.float32)
    words = words_of(terms)
    return Query(none, none, words, 0.0, words, words)


def weighted_sum(weights: Sequence[float], vectors: Sequence[Vectors]) -> tuple[Vectors, float]:
    """The weighted sum scaled to unit length, and its norm before.

    Raises QueryRejected if the terms cancel each other out.
    """
    total = np.asarray(weights) @ np.stack(vectors)
    length = float(np.linalg.norm(total))
    if length < MIN_SUM_LENGTH * max(map(abs, weights)):
        raise QueryRejected("query: the terms cancel each other out: nothing is left to search.")
    return (total / length).astype(np.float32), length
