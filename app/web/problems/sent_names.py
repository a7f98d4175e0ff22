"""Refuses query parameters and form fields that a route does not have, or that are sent twice.

A name that is ignored does something else than its sender meant: a misspelt `collection` would
store into the default one. Of one that is sent twice, one value would be ignored.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any, Literal, NamedTuple, get_args, get_origin

from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError

from app.nearest_name import nearest_name
from app.web.payloads.field_types import printable

MAX_NAMED = 10  # names in one answer
MAX_NAME_CHARACTERS = 100  # of a sent name that is repeated in the answer

Place = Literal["query", "body"]
WORDS = {"query": "parameter", "body": "field"}


class Names(NamedTuple):
    """The names that a route takes in one place; of these, those that may be sent repeatedly."""

    known: Collection[str]
    lists: Collection[str] = ()


def check_names(place: Place, sent: Iterable[str], names: Names) -> None:
    """Raise RequestValidationError naming what is sent but not known, or sent too often.

    `place` is where the names are: the address's query, or the body's form. `sent` has a name as
    often as it was sent. Of an unknown one the nearest known one is named.
    """
    times = Counter(sent)
    faults = [_unknown(place, name, names.known) for name in times if name not in names.known]
    faults += [
        _repeated(place, name, times[name])
        for name in times
        if times[name] > 1 and name in names.known and name not in names.lists
    ]
    if faults:
        raise RequestValidationError(faults[:MAX_NAMED])


def _unknown(place: Place, name: str, known: Collection[str]) -> dict[str, Any]:
    shown = printable(name)[:MAX_NAME_CHARACTERS]
    message = f"there is no {WORDS[place]} of this name{suggestion(shown, known)}"
    return {"type": f"{WORDS[place]}_unknown", "loc": (place, shown), "msg": message, "input": None}


def _repeated(place: Place, name: str, times: int) -> dict[str, Any]:
    message = f"it was sent {times} times; send it once"
    return {"type": f"{WORDS[place]}_repeated", "loc": (place, name), "msg": message, "input": None}


def suggestion(name: str, known: Collection[str]) -> str:
    """The end of a sentence about an unknown name: the nearest known one, or else all."""
    if nearest := nearest_name(name, known):
        return f"; did you mean {nearest}?"
    return f"; there are: {', '.join(sorted(known))}." if known else "; none is expected here."


def query_names(dependant: Dependant) -> Names:
    """The query parameters of a route, those of its dependencies included."""
    return _names([one for each in _all(dependant) for one in each.query_params])


def body_names(dependant: Dependant) -> Names:
    """The parameters that a route reads from its body: of a form, the fields."""
    return _names([one for each in _all(dependant) for one in each.body_params])


def _all(dependant: Dependant) -> Iterable[Dependant]:
    yield dependant
    for one in dependant.dependencies:
        yield from _all(one)


def _names(fields: Collection[Any]) -> Names:
    lists = frozenset(one.alias for one in fields if _is_list(one.field_info.annotation))
    return Names(frozenset(one.alias for one in fields), lists)


def _is_list(annotation: Any) -> bool:
    """Whether a parameter of this type takes several values, as `list[int] | None` does."""
    return get_origin(annotation) is list or any(map(_is_list, get_args(annotation)))
