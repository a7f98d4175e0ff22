"""The variables that settings are read from: their names, and which of them are wrong."""

import logging
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from dotenv import dotenv_values
from pydantic import ValidationError

from app.errors import SettingsInvalid

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
}  # whose values no message shows
ENVIRONMENT = "the environment"


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
        raise SettingsInvalid("Settings: " + " ".join(_refusal(name, known) for name in unknown))
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
    faults = ((str(fault["loc"][0]), fault["msg"]) for fault in error.errors())
    lines = (
        f"{variables[field] if field in variables else names_of(field)[0]}: {message}."
        for field, message in faults
    )
    return "Settings: " + " ".join(lines)


def warn_of_unknown_variables(fields: Iterable[str]) -> None:
    """Log each variable of the environment that has the prefix but gives no setting."""
    known = {name for field in fields for name in names_of(field)}
    for name in sorted(os.environ):
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            log.warning(
                "%s is set in the environment, but is not a setting.%s", name, _nearest(name, known)
            )


def _file_values(env_file: Path) -> dict[str, str]:
    """The file's variables; none if it is missing or no regular file, such as /dev/null."""
    if not env_file.is_file():
        return {}
    try:
        read = dotenv_values(env_file, encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsInvalid(f"Settings: {env_file} cannot be read: {error}.") from error
    return {name: value or "" for name, value in read.items()}


def _given(values: Mapping[str, str], known: Mapping[str, str], origin: str) -> Iterable[Variable]:
    for name, value in values.items():
        if value and (field := known.get(name.upper())):
            yield Variable(field, name, value, origin)


def _refusal(name: str, known: Collection[str]) -> str:
    listed = ".env.example lists them all."
    return f"{name} in .env is not a setting.{_nearest(name, known)} {listed}"


def _nearest(name: str, known: Collection[str]) -> str:
    nearest = get_close_matches(name.upper(), known, n=1)
    return f" Did you mean {nearest[0]}?" if nearest else ""
