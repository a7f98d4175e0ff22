"""Which known name a misspelt one most likely means."""

from collections.abc import Iterable
from difflib import get_close_matches

SIMILARITY = 0.6  # from 0 to 1, as difflib computes it: a name below is not near
MAX_COMPARED_CHARACTERS = 100  # of a misspelt name: the comparison takes time by its square


def nearest_name(name: str, known: Iterable[str], similarity: float = SIMILARITY) -> str | None:
    """The known name that is spelt most like it, in capitals or not; None if none is near."""
    by_folded = {one.casefold(): one for one in known}
    near = get_close_matches(name[:MAX_COMPARED_CHARACTERS].casefold(), by_folded, 1, similarity)
    return by_folded[near[0]] if near else None
