"""Types of settings: how each text is parsed and checked."""

import base64
import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import limits
from pydantic import AfterValidator, BeforeValidator, SecretStr

SECRET_BYTES = 32  # minimum of JWT_SECRET: a shorter one could be guessed
WEBHOOK_SECRET_BYTES = range(24, 65)  # as Standard Webhooks has them
NO_RATE = "none"
ROOT_PATH = re.compile(
    r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,63}){1,8}"
)  # no dots at the front of a part
URL = re.compile(r"https?://[^\s/?#]+(/[^\s?#]*)?")
BUCKET = re.compile(r"[A-Za-z0-9._-]{1,255}|arn:[^\s/]+([/:][^\s/]+)*")  # as boto3 takes them
MODEL_PLACE = re.compile(r"hf-hub:[A-Za-z0-9._-]+/[A-Za-z0-9._-]+|local-dir:.+")
ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:\d{1,5})?|https?://\[[0-9a-f:]+\](:\d{1,5})?")

TILES = re.compile(
    r"(https://[a-z0-9.-]+|http://(localhost|127\.0\.0\.1|\[::1\]))(:\d{1,5})?"
    r"(/([A-Za-z0-9._~!$&()*+=:@%/?-]|\{[zxy]\})*)"
)  # no user:password@, and nothing that would end a directive of a Content-Security-Policy


def _split(text: object) -> object:
    """Split a comma-separated text; return anything else unchanged."""
    if not isinstance(text, str):
        return text
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _webhook_secret(secret: SecretStr) -> SecretStr:
    prefix, _, encoded = secret.get_secret_value().partition("_")
    try:
        size = len(base64.b64decode(encoded, validate=True)) if prefix == "whsec" else 0
    except ValueError:  # no base64
        size = 0
    if size not in WEBHOOK_SECRET_BYTES:
        first, last = WEBHOOK_SECRET_BYTES[0], WEBHOOK_SECRET_BYTES[-1]
        raise ValueError(f"write it as whsec_ and {first} to {last} random bytes in base64")
    return secret


def _long_enough(secret: SecretStr) -> SecretStr:
    if len(secret.get_secret_value().encode()) < SECRET_BYTES:
        raise ValueError(f"a secret of at least {SECRET_BYTES} bytes is needed")
    return secret


def _header_secret(secret: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[\x21-\x7e]+", secret.get_secret_value()):
        raise ValueError("it may hold letters, digits and signs of ASCII, and no spaces")
    return secret


def _rate(text: str) -> str:
    if text != NO_RATE:
        try:
            (rate,) = limits.parse_many(text)
        except ValueError:
            rate = None
        if rate is None or rate.amount < 1:
            raise ValueError(f"write a rate such as 100/second or 1000/hour, or {NO_RATE}")
    return text


def _root_path(text: str) -> str:
    path = text.rstrip("/")
    if path and not ROOT_PATH.fullmatch(path):
        raise ValueError("write it like /pictures or /our/pictures")
    return path


def _origin(text: str) -> str:
    if text != "*" and not ORIGIN.fullmatch(text):
        raise ValueError(f"{text} is not an origin: write it like https://example.com")
    return text


def _tiles(address: str) -> str:
    """The browser loads these in every visitor's name: encrypted, unless from this machine."""
    found = TILES.fullmatch(address)
    is_whole = found and all(address.count(f"{{{name}}}") == 1 for name in "zxy")
    if address and not is_whole:
        raise ValueError(
            "write it like https://tiles.example.com/{z}/{x}/{y}.png, or with http:// on this "
            "machine"
        )
    return address


def _check_patterns(patterns: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse a pattern that would ignore everything, and so make every picture look deleted."""
    for pattern in patterns:
        if not pattern.strip("*?/[]!") or pattern.count("/") > 1 or pattern.startswith("/"):
            raise ValueError(f"{pattern} is neither a name nor folder/name")
    return patterns


def _check_places(models: tuple[str, ...]) -> tuple[str, ...]:
    for model in models:
        if not MODEL_PLACE.fullmatch(model):
            raise ValueError(f"{model} is neither hf-hub:org/name nor local-dir:/path")
    return models


def _url(address: str) -> str:
    if not URL.fullmatch(address):
        raise ValueError("write it like https://host or http://host:9000")
    return address


def _bucket(name: str) -> str:
    if not BUCKET.fullmatch(name):
        raise ValueError(
            f"{name} is not a bucket's name: write it without s3:// and without a path"
        )
    return name


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise ValueError(f"{error}: write it like 10.0.0.0/8") from error


def _zone_name(name: str) -> str:
    try:
        ZoneInfo(name)
    except (OSError, ValueError, ZoneInfoNotFoundError) as error:
        if name != "UTC":  # which every system knows
            raise ValueError(f"{name} is not a time zone: write it like Europe/Lisbon") from error
    return name


Url = Annotated[str, AfterValidator(_url)]
Bucket = Annotated[str, AfterValidator(_bucket)]
Buckets = Annotated[tuple[Bucket, ...], BeforeValidator(_split)]
Names = Annotated[tuple[str, ...], BeforeValidator(_split)]
ModelPlaces = Annotated[Names, AfterValidator(_check_places)]
Folders = Annotated[tuple[Path, ...], BeforeValidator(_split)]
Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(_network)]
Networks = Annotated[tuple[Network, ...], BeforeValidator(_split)]

RootPath = Annotated[str, AfterValidator(_root_path)]
Rate = Annotated[str, AfterValidator(_rate)]
Origins = Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], BeforeValidator(_split)]
Tiles = Annotated[str, AfterValidator(_tiles)]
Patterns = Annotated[Names, AfterValidator(_check_patterns)]
Zone = Annotated[str, AfterValidator(_zone_name)]
Secret = Annotated[SecretStr, AfterValidator(_long_enough)]
WebhookSecret = Annotated[SecretStr, AfterValidator(_webhook_secret)]
HeaderSecret = Annotated[SecretStr, AfterValidator(_header_secret)]
