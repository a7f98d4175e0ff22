"""Searching: by words and by picture."""

from dataclasses import dataclass

from app.db import Sessions
from app.encoders.resident import Resident
from app.errors import QueryRejected
from app.nearest import Neighbour, find_nearest
from app.pictures import decode
from app.tables import VectorIndex
from app.vectors import Vectors

MAX_QUERY_CHARACTERS = 1_000
MAX_LIMIT = 100
DEFAULT_LIMIT = 10


@dataclass(frozen=True)
class Search:
    """Answers from one index. The model is never called inside a transaction."""

    sessions: Sessions
    encoder: Resident
    index: VectorIndex
    max_megapixels: float

    def by_text(self, query: str, limit: int) -> list[Neighbour]:
        """The pictures that fit the words best. Raises QueryRejected."""
        check_text(query)
        return self._nearest(self.encoder.encode_texts([query])[0], limit)

    def by_image(self, data: bytes, limit: int) -> list[Neighbour]:
        """The pictures most like the one in the file `data`. Raises as `pictures.decode`."""
        picture = decode(data, self.max_megapixels)
        return self._nearest(self.encoder.encode_images([picture.image])[0], limit)

    def _nearest(self, vector: Vectors, limit: int) -> list[Neighbour]:
        with self.sessions.begin() as session:
            return find_nearest(session, self.index, vector, limit)


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
