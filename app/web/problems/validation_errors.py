"""What is wrong with a request, fault by fault, in words for whoever sent it.

`fault_messages` has the words; here each fault gets its place, as it is written in JSON, in a form
or in an address.
"""

from collections.abc import Iterator, Mapping, Sequence
from json import JSONDecodeError
from typing import Any, get_args

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel

from app.web.payloads.field_types import OBJECT_TAG, printable
from app.web.problems.fault_messages import message_of
from app.web.problems.sent_names import MAX_NAME_CHARACTERS, suggestion

JSON_INVALID = "json_invalid"
FIELD_UNKNOWN = "field_unknown"
MAX_FAULTS = 10  # in one answer: a list of 10,000 ids may have as many

PLACES = {"query": "query parameter", "path": "path parameter"}
"""What the places of a fault are called, where their own names do not say it."""

Loc = list[str | int]


def broken_json(error: RequestValidationError) -> str | None:
    """Where the body stops being JSON, as a sentence; None if it is JSON."""
    for fault in error.errors():
        if fault["type"] == JSON_INVALID:
            cause = error.__cause__
            if isinstance(cause, JSONDecodeError):
                place = f"{cause.msg} at line {cause.lineno} column {cause.colno}"
            else:  # pydantic's, which says the place itself
                place = str(fault["ctx"]["error"])
            return f"The body is not JSON: {place}."
    return None


def entries(error: RequestValidationError, kind: Any) -> list[dict[str, Any]]:
    """The first faults, each with `loc`, `code` and `message`.

    `kind` is the type of the JSON body.
    """
    return [_entry(fault, kind, error.body) for fault in error.errors()[:MAX_FAULTS]]


def detail_of(error: RequestValidationError, faults: Sequence[Mapping[str, Any]]) -> str:
    """The faults as sentences, and how many more there are."""
    more = len(error.errors()) - len(faults)
    rest = [f"There are {more:,} more such faults."] if more else []
    return " ".join([*map(sentence, faults), *rest])


def sentence(entry: Mapping[str, Any]) -> str:
    """An entry as a sentence: where it is and what is wrong."""
    where, message = place_of(entry["loc"]), entry["message"]
    return f"{where}: {message}" if message.endswith((".", "?")) else f"{where}: {message}."


def place_of(loc: Sequence[str | int]) -> str:
    """A place as a developer writes it: `query parameter limit`, `body query[0].text`."""
    first, *rest = loc
    path = ""
    for part in rest:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return f"{PLACES.get(str(first), first)} {path}".rstrip()


def _entry(fault: Mapping[str, Any], kind: Any, body: Any) -> dict[str, Any]:
    loc = _place_in(body, fault["loc"])
    if fault["type"] == "extra_forbidden":
        known = _field_names(kind, loc[1:-1])
        message = "there is no field of this name"
        message += suggestion(str(loc[-1]), known) if known else ""
        return {"loc": loc, "code": FIELD_UNKNOWN, "message": message}
    code, message = message_of(fault)
    return {"loc": loc, "code": code, "message": message}


def _place_in(body: Any, loc: Sequence[str | int]) -> Loc:
    """A place without what is not in the body: pydantic's tags of a union."""
    place: Loc = [loc[0]]
    at = body if loc[0] == "body" else None
    for part in loc[1:]:
        if isinstance(at, list) and isinstance(part, str):
            continue
        if isinstance(at, str) or part == OBJECT_TAG:
            continue
        place.append(printable(part)[:MAX_NAME_CHARACTERS] if isinstance(part, str) else part)
        at = _member(at, part)
    return place


def _member(value: Any, part: str | int) -> Any:
    """The value of a key or at a position; None if there is none."""
    if isinstance(value, dict):
        return value.get(part)
    return value[part] if isinstance(value, list) and isinstance(part, int) else None


def _field_names(kind: Any, path: Sequence[int | str]) -> list[str]:
    """The fields of the objects at a place in a body of this type.

    Parts of the path that are no fields are positions in lists.
    """
    models = list(_models(kind))
    for part in path:
        found = [one.model_fields[part] for one in models if part in one.model_fields]
        if found:
            models = [model for field in found for model in _models(field.annotation)]
    return sorted({name for model in models for name in model.model_fields})


def _models(kind: Any) -> Iterator[type[BaseModel]]:
    """The models in a type such as `list[SearchTerm] | None`."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    for part in get_args(kind):
        yield from _models(part)
