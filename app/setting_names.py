"""The variables that settings are read from: their names, and which of them are wrong."""

import logging
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import Binding, parse_stream
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from app.errors import SettingsInvalid
from app.nearest_name import nearest_name

log = logging.getLogger(__name__)

PREFIX = "IMAGE_SEARCH_"
OWN_NAMES = ("TESTING", "DATABASE_URL", "S3_", "HF_")
"""Names, and beginnings of names, that other programs share: documented without the prefix."""
FIRST_VERSION = {
    "s3_endpoint_url": "R2_ENDPOINT_URL",
    "s3_access_key_id": "R2_ACCESS_KEY_ID",
    "s3_secret_access_key": "R2_SECRET_ACCESS_KEY",
    "s3_bucket": "R2_BUCKET_NAME",
}
SECRETS = {
    "jwt_secret",
    "webhook_secret",
    "s3_secret_access_key",
    "database_url",
    "read_database_url",
}  # whose values no message shows
ENVIRONMENT = "the environment"
ENVIRONMENT_ONLY = {
    "ENV_FILE": "make start",
    "FORWARDED_ALLOW_IPS": "make start",
    "TORCH_BACKEND": "make install",
}
"""Variables that one may well write into the file but that are no settings: who reads them."""


@dataclass(frozen=True)
class Variable:
    """A variable that gives the setting `field`; `origin` is the environment or a file's name."""

    field: str
    name: str
    value: str
    origin: str

    def __str__(self) -> str:
        return self.name if self.field in SECRETS else f"{self.name}={self.value!r}"


def names_of(field: str) -> tuple[str, ...]:
    """The names of a setting's variable, the documented one first."""
    short = field.upper()
    prefixed = f"{PREFIX}{short}"
    both = (short, prefixed) if short.startswith(OWN_NAMES) else (prefixed, short)
    return (*both, FIRST_VERSION[field]) if field in FIRST_VERSION else both


def read_variables(fields: Collection[str], env_file: Path) -> dict[str, Variable]:
    """The variables that are set and not empty, by setting.

    Of one name, the environment's value wins over the file's. Raises SettingsInvalid if the file
    cannot be read or has a name that is no setting's, or if two names of one setting differ.
    """
    known = {name: field for field in fields for name in names_of(field)}
    in_file = _file_values(env_file)
    unknown = [name for name in in_file if name.upper() not in known]
    if unknown:
        refusals = (_refusal(name, env_file.name, known) for name in unknown)
        raise SettingsInvalid(f"Settings: {' '.join(refusals)} .env.example lists all settings.")
    read = {
        one.name.upper(): one
        for origin, values in ((env_file.name, in_file), (ENVIRONMENT, os.environ))
        for one in _given(values, known, origin)
    }
    variables: dict[str, Variable] = {}
    for one in read.values():
        earlier = variables.setdefault(one.field, one)
        if earlier.value != one.value:
            raise SettingsInvalid(
                f"Settings: {earlier} (in {earlier.origin}) and {one} (in {one.origin}) are two "
                "names of one setting, and differ. Set only one of them."
            )
    return variables


def explain(error: ValidationError, variables: Mapping[str, Variable]) -> str:
    """What is wrong with the values, each with the variable that gave it."""
    faults = ((str(fault["loc"][0]), _message(fault)) for fault in error.errors())
    lines = (
        f"{variables[field] if field in variables else names_of(field)[0]}: {message}."
        for field, message in faults
    )
    return "Settings: " + " ".join(lines)


def _message(fault: ErrorDetails) -> str:
    """What to write instead: pydantic's own words are for programmers of Python."""
    kind, bounds = fault["type"], fault.get("ctx", {})
    if kind in PLAIN:
        return PLAIN[kind]
    if kind in BOUNDS:
        words, bound = BOUNDS[kind]
        return f"write a number {words} {bounds[bound]:,g}"
    if kind == "literal_error":
        return f"write one of: {bounds['expected']}"
    return fault["msg"].removeprefix("Value error, ")


PLAIN = {
    **dict.fromkeys(("int_parsing", "int_type", "int_from_float"), "write a whole number"),
    **dict.fromkeys(("float_parsing", "float_type", "finite_number"), "write a number"),
    **dict.fromkeys(("bool_parsing", "bool_type"), "write 1 or 0"),
}
BOUNDS = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("of at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("of at most", "le"),
}


def warn_of_unknown_variables(fields: Iterable[str]) -> None:
    """Log each variable of the environment that has the prefix but gives no setting."""
    known = {name for field in fields for name in names_of(field)}
    for name in sorted(os.environ):
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            near = _nearest(name, known) or " docs/settings.md lists all settings."
            log.warning("%s is set in the environment, but is not a setting.%s", name, near)


def _file_values(env_file: Path) -> dict[str, str]:
    """The file's variables; none if it is missing or no regular file, such as /dev/null.

    Raises SettingsInvalid if it cannot be read, with the number of each line that says nothing.
    """
    if not env_file.is_file():
        return {}
    try:
        text = env_file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsInvalid(f"Settings: {env_file} cannot be read: {error}.") from error
    if broken := [_line(one) for one in parse_stream(StringIO(text)) if _is_broken(one)]:
        raise SettingsInvalid(
            f"Settings: {env_file}, line {', '.join(map(str, broken))}: write NAME=value, with the "
            "value in quotes if it has spaces, and close the quotes. A comment begins with #."
        )
    return {name: value or "" for name, value in dotenv_values(stream=StringIO(text)).items()}


def _is_broken(binding: Binding) -> bool:
    """Whether a line of the file is neither NAME=value nor a comment."""
    return binding.error or (binding.key is not None and binding.value is None)


def _line(binding: Binding) -> int:
    """The number of its line, counted from 1; blank lines above belong to the binding too."""
    text = binding.original.string
    return binding.original.line + text[: len(text) - len(text.lstrip())].count("\n")


def _given(values: Mapping[str, str], known: Mapping[str, str], origin: str) -> Iterable[Variable]:
    for name, value in values.items():
        if value and (field := known.get(name.upper())):
            yield Variable(field, name, value, origin)


def _refusal(name: str, file: str, known: Collection[str]) -> str:
    """Why a name is refused. Its value is not shown: it may be a secret under a misspelt name."""
    refusal = f"{name} in {file} is not a setting."
    if command := ENVIRONMENT_ONLY.get(name.upper()):
        return f"{refusal} Set it in the environment instead: {name.upper()}=… {command}."
    return refusal + (
        _nearest(name, known) or " If another program reads it, set it in the environment instead."
    )


def _nearest(name: str, known: Collection[str]) -> str:
    """Compared without the prefix: with it every name is like some other."""
    upper = name.upper()
    prefix = PREFIX if upper.startswith(PREFIX) else ""
    near = nearest_name(upper.removeprefix(prefix), [one.removeprefix(prefix) for one in known])
    if near is None:
        return ""
    return f" Did you mean {prefix + near if prefix + near in known else near}?"
