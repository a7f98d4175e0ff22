"""What is wrong with a request, field by field, in words for whoever sent it.

pydantic's errors speak of Python: of dictionaries, of classes and of None. Here they speak of JSON
and of forms.
"""

from collections.abc import Iterator, Mapping, Sequence
from json import JSONDecodeError
from typing import Any, get_args

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel

from app.web.problems.unknown_names import suggestion

JSON_INVALID = "json_invalid"
FIELD_UNKNOWN = "field_unknown"

MESSAGES = {
    **dict.fromkeys(("model_type", "model_attributes_type", "dict_type"), "send a JSON object"),
    "list_type": "send a JSON array",
    "none_required": "send null",
}
"""Of pydantic's errors whose own messages speak of Python, by their type."""

NOT_A_FILE = "Expected UploadFile"  # begins FastAPI's error about a text where a file should be
VALUE_ERROR = "Value error, "  # begins pydantic's message of a ValueError


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


def entries(error: RequestValidationError, body: Any) -> list[dict[str, Any]]:
    """The faults, each with `loc`, `code` and `message`; `body` is the type of the JSON body."""
    return [_entry(fault, body) for fault in error.errors()]


def sentence(entry: Mapping[str, Any]) -> str:
    """An entry as a sentence: where it is and what is wrong."""
    where, message = " ".join(map(str, entry["loc"])), entry["message"]
    return f"{where}: {message}" if message.endswith((".", "?")) else f"{where}: {message}."


def _entry(fault: Mapping[str, Any], body: Any) -> dict[str, Any]:
    code, loc = fault["type"], list(fault["loc"])
    message = MESSAGES.get(code, str(fault["msg"]).removeprefix(VALUE_ERROR))
    if code == "extra_forbidden":
        code = FIELD_UNKNOWN
        known = _field_names(body, loc[1:-1])
        message = "there is no field of this name"
        message += suggestion(str(loc[-1]), known) if known else ""
    elif code == "value_error" and message.startswith(NOT_A_FILE):
        code, message = "file_expected", "send a file here, not a text"
    return {"loc": loc, "code": code, "message": message}


def _field_names(kind: Any, path: Sequence[int | str]) -> list[str]:
    """The fields of the objects at a place in a body of this type.

    Parts of the path that are no fields are positions in lists, or pydantic's tags of a union.
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
