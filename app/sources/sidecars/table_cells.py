"""Cells of a CSV, which are all texts, as JSON values of their column's type."""

import re

PLAIN_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,14})(\.[0-9]{1,15})?")
"""Cells that become JSON numbers: no plus sign, leading zero (007 is a name) or exponent."""

BOOLEANS = {"true": True, "false": False}
TAG_SEPARATORS = re.compile("[,;]")


def read_cell(text: str, kind: str | None) -> str | float | bool | list[str]:
    """The cell `text` as a field of the type `kind` has it; None if the column is no field.

    A boolean is true or false, ignoring case and spaces around it; tags are parted by commas or
    semicolons; a text or date is the cell itself. In any other column, and where it does not fit
    its type, a plain number like -3 or 2.50 becomes a number (2.5), and all else stays text.
    """
    if kind in {"text", "date"}:
        return text
    if kind == "tags":
        return [tag for part in TAG_SEPARATORS.split(text) if (tag := part.strip())]
    boolean = BOOLEANS.get(text.strip().lower()) if kind == "boolean" else None
    return _number(text) if boolean is None else boolean


def _number(text: str) -> str | float:
    plain = PLAIN_NUMBER.fullmatch(text)
    if not plain:
        return text
    return float(text) if plain[1] else int(text)
