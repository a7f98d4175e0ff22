"""What each kind of fault that pydantic finds is called in an answer.

pydantic speaks to programmers of Python: of instances, of patterns, of what was "unable to parse".
Whoever sends a request has JSON, a form or an address before them, and is told what to send
instead.
"""

from collections.abc import Callable, Mapping
from typing import Any

from app.web.payloads.field_types import in_words

Context = Mapping[str, Any]

OTHER = "this value is not valid here; /docs says what is"
"""What is said of a kind that is not in the table: none that our payloads can cause."""

VALUE_ERROR = "Value error, "  # begins pydantic's message of a ValueError of our own
NOT_A_FILE = "Expected UploadFile"  # begins FastAPI's error about a text where a file should be
FILE_EXPECTED = "file_expected"

OBJECT = "send a JSON object"
TIME = "send a date and time with its time zone, for instance 2026-11-21T09:39:15Z"

PLAIN: Mapping[str, str] = {
    "missing": "it is required, but was not sent",
    **dict.fromkeys(("model_type", "model_attributes_type", "dict_type"), OBJECT),
    "list_type": "send a JSON array",
    **dict.fromkeys(("string_type", "bytes_type"), "send a string"),
    "string_unicode": "send valid Unicode: this has half of a surrogate pair",
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "send a whole number"),
    "int_parsing_size": "send a whole number with fewer digits",
    **dict.fromkeys(("float_type", "float_parsing"), "send a number"),
    "finite_number": "send a number that is finite",
    **dict.fromkeys(("bool_type", "bool_parsing"), "send true or false"),
    **dict.fromkeys(
        ("datetime_type", "datetime_parsing", "datetime_from_date_parsing", "timezone_aware"), TIME
    ),
}
"""The kinds whose message is the same for all fields."""


def _bounded(words: str, key: str, one: str = "", many: str = "") -> Callable[[Context], str]:
    """The message about a bound that pydantic names `key`; `one` and `many` are what it counts."""

    def message(context: Context) -> str:
        bound = context[key]
        shown = f"{bound:,}" if isinstance(bound, int) else f"{bound:,g}"
        return f"send {words} {shown} {one if bound == 1 else many}".rstrip()

    return message


def _choice(context: Context) -> str:
    known = str(context["expected"]).replace("'", "").replace(" or ", ", ")
    return f"send one of: {known}"


BOUNDED: Mapping[str, Callable[[Context], str]] = {
    "too_short": _bounded("at least", "min_length", "entry", "entries"),
    "too_long": _bounded("at most", "max_length", "entry", "entries"),
    "string_too_short": _bounded("at least", "min_length", "character", "characters"),
    "string_too_long": _bounded("at most", "max_length", "character", "characters"),
    "greater_than_equal": _bounded("a number of at least", "ge"),
    "less_than_equal": _bounded("a number of at most", "le"),
    "literal_error": _choice,
}
"""The kinds whose message has a bound, or the values that are allowed."""

OWN = frozenset(
    {
        *("value_error", "query", "label", "base64"),
        *("parameter_unknown", "field_unknown", "parameter_repeated", "field_repeated"),
    }
)
"""The kinds whose messages are our own: of the payloads' validators, and of names."""


def _repeated_instead(fault: Mapping[str, Any]) -> str | None:
    """What to send instead of several numbers with commas in an address; None for other faults."""
    loc, sent = fault["loc"], [one.strip() for one in str(fault.get("input")).split(",")]
    is_in_list = len(loc) > 2 and loc[0] == "query" and fault["type"] == "int_parsing"
    if not is_in_list or len(sent) < 2:
        return None
    return f"send a whole number each time: {loc[1]}={sent[0]}&{loc[1]}={sent[1]}"


def message_of(fault: Mapping[str, Any]) -> tuple[str, str]:
    """The code and the message of one of pydantic's or FastAPI's faults."""
    kind, context = str(fault["type"]), fault.get("ctx") or {}
    if kind in PLAIN:
        return kind, _repeated_instead(fault) or PLAIN[kind]
    if kind in BOUNDED:
        return kind, BOUNDED[kind](context)
    if kind == "string_pattern_mismatch":
        return kind, in_words(context["pattern"], fault.get("input"))
    if kind == "value_error" and NOT_A_FILE in str(fault["msg"]):
        return FILE_EXPECTED, "send a file here, not a text"
    if kind in OWN:
        return kind, str(fault["msg"]).removeprefix(VALUE_ERROR)
    return kind, OTHER
