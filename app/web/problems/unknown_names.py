"""Refuses query parameters and form fields that a route does not have.

A name that is ignored does something else than its sender meant: a misspelt `collection` would
store into the default one.
"""

from collections.abc import Collection, Iterable
from difflib import get_close_matches
from typing import Any, Literal

from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError

from app.web.payloads.field_types import printable

MAX_NAMED = 10  # unknown names in one answer
MAX_NAME_CHARACTERS = 100  # of a sent name that is repeated in the answer

Place = Literal["query", "body"]
CODES = {"query": "parameter_unknown", "body": "field_unknown"}
WORDS = {"query": "parameter", "body": "field"}


def check_names(place: Place, sent: Iterable[str], known: Collection[str]) -> None:
    """Raise RequestValidationError naming what is sent but not known, and the nearest known name.

    `place` is where the names are: the address's query, or the body's form.
    """
    unknown = [name for name in dict.fromkeys(sent) if name not in known][:MAX_NAMED]
    if unknown:
        raise RequestValidationError([_fault(place, name, known) for name in unknown])


def _fault(place: Place, name: str, known: Collection[str]) -> dict[str, Any]:
    shown = printable(name)[:MAX_NAME_CHARACTERS]
    message = f"there is no {WORDS[place]} of this name{suggestion(shown, known)}"
    return {"type": CODES[place], "loc": (place, shown), "msg": message, "input": None}


def suggestion(name: str, known: Collection[str]) -> str:
    """The end of a sentence about an unknown name: the nearest known one, or else all."""
    if nearest := get_close_matches(name.lower(), known, n=1):
        return f"; did you mean {nearest[0]}?"
    return f"; there are: {', '.join(sorted(known))}." if known else "; none is expected here."


def query_names(dependant: Dependant) -> frozenset[str]:
    """The query parameters of a route, those of its dependencies included."""
    own = frozenset(field.alias for field in dependant.query_params)
    return own.union(*(query_names(one) for one in dependant.dependencies))


def body_names(dependant: Dependant) -> frozenset[str]:
    """The parameters that a route reads from its body: of a form, the fields."""
    own = frozenset(field.alias for field in dependant.body_params)
    return own.union(*(body_names(one) for one in dependant.dependencies))
