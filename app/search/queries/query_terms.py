"""The terms of a query: their bounds, and what they are called."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from app.encoders.resident_model import normalised
from app.errors import QueryEmpty, QueryRejected
from app.pictures.crops import Box

MAX_QUERY_CHARACTERS = 1_000
MAX_TERMS = 16
MAX_URL_TERMS = 2  # each may occupy a thread for URL_FETCH_SECONDS
MAX_WEIGHT = 100.0  # absolute value
UPLOADED_PICTURE = "the picture that was sent"
MIN_BOX_SIDE = 0.01  # of a box, as a fraction of the picture's
BOX_ROUNDING = 1e-6  # by which the edges of a box may lie outside
QUOTE = '"'


@dataclass(frozen=True)
class Term:
    """A term of a query; exactly one of `text`, `image` (a file), `url`, `image_id` is set.

    With `image_id`, `box` may name a part of that picture.
    """

    weight: float = 1.0
    text: str | None = None
    image: bytes | None = None
    url: str | None = None
    image_id: int | None = None
    box: Box | None = None

    @property
    def label(self) -> str:
        """How explanations name the term."""
        if self.text is not None:
            return self.text
        if self.image is not None:
            return UPLOADED_PICTURE
        if self.box is not None:
            return f"a part of picture {self.image_id}"
        return self.url or f"picture {self.image_id}"

    @property
    def identity(self) -> list[object]:
        """What distinguishes it from other terms, as JSON."""
        sent = None if self.image is None else hashlib.sha256(self.image).hexdigest()
        return [self.weight, self.text, sent, self.url, self.image_id, self.box]


def check_terms(terms: Sequence[Term]) -> None:
    """Raise QueryRejected unless the terms can be searched for."""
    if not 1 <= len(terms) <= MAX_TERMS:
        raise QueryRejected(f"query: {len(terms)} terms; 1 to {MAX_TERMS} are allowed.")
    if sum(term.url is not None for term in terms) > MAX_URL_TERMS:
        raise QueryRejected(
            f"query: at most {MAX_URL_TERMS} terms may be URLs: send the other pictures themselves."
        )
    for position, term in enumerate(terms):
        if not (0 < abs(term.weight) <= MAX_WEIGHT):
            raise QueryRejected(
                f"{path_of(position)}.weight: {term.weight:g} is out of bounds: send a number "
                f"from -{MAX_WEIGHT:g} to {MAX_WEIGHT:g} that is not 0."
            )
        if term.text is not None:
            _check_text_term(term.text, position, len(terms))
        if term.box is not None:
            _check_box(term.box, position)


def _check_box(box: Box, position: int) -> None:
    x, y, width, height = box
    inside = min(x, y) >= 0 and max(x + width, y + height) <= 1 + BOX_ROUNDING
    if not (inside and min(width, height) >= MIN_BOX_SIDE):
        raise QueryRejected(
            f"{path_of(position)}.box: send [x, y, width, height] as fractions of the picture, "
            f"inside it, each side at least {MIN_BOX_SIDE:g}."
        )


def _check_text_term(text: str, position: int, terms: int) -> None:
    try:
        check_text(text)
    except QueryRejected as error:
        if terms == 1:
            raise
        raise type(error)(f"{path_of(position)}: {error}") from error


def check_text(query: str) -> None:
    """Raise QueryRejected unless `query` can be searched for."""
    if not query.strip():
        raise QueryEmpty("The query is empty: say in words what the picture shows.")
    if len(query) > MAX_QUERY_CHARACTERS:
        raise QueryRejected(
            f"The query has {len(query)} characters; {MAX_QUERY_CHARACTERS} are allowed."
        )
    if "\0" in query or any("\ud800" <= character <= "\udfff" for character in query):
        raise QueryRejected("The query holds a NUL or half of a surrogate pair: it is not text.")


def path_of(position: int) -> str:
    """The JSON path of a term, for messages."""
    return f"query[{position}]"


def single_text(terms: Sequence[Term]) -> str | None:
    """The text, if the query is a single one; a positive weight makes no difference."""
    (first, *others) = terms
    if others or first.text is None or first.weight < 0:
        return None
    return normalised(first.text)


def label_of(terms: Sequence[Term]) -> str:
    """The query in words: `a car − 0.5 × red`."""
    if len(terms) == 1 and terms[0].weight > 0:
        return normalised(terms[0].label)
    labels = [f"{_sign(term)}{normalised(term.label)}" for term in terms]
    return " ".join(labels).removeprefix("+ ")


def _sign(term: Term) -> str:
    sign = "−" if term.weight < 0 else "+"
    return f"{sign} " if abs(term.weight) == 1 else f"{sign} {abs(term.weight):g} × "


def words_of(terms: Sequence[Term]) -> str:
    """The texts as one query of websearch_to_tsquery; those of negative weight are excluded."""
    texts = [(normalised(term.text), term.weight) for term in terms if term.text]
    return " ".join(
        text if weight > 0 else f'-"{text.replace(QUOTE, " ")}"' for text, weight in texts
    )
