"""What a picture is called outside: the path of a caller's own file, and a name for people."""

from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from app.database.tables import Image
from app.storage.disk import STORE_SCHEME


def source_path(image: Image) -> str | None:
    """The path of its file in a folder or bucket; None for an upload, whose file is our own."""
    return None if image.stored_path.startswith(STORE_SCHEME) else image.path


def original_filename(image: Image) -> str:
    """The name of its file as it was submitted, or in its folder, without folders."""
    return last_part(image.origin or image.path)


def last_part(origin: str) -> str:
    """The last part of a path, or of an http URL, decoded.

    All else with a scheme is a path: a bucket's key may have `?`, `#` and `%` in it, and a client
    may call its file anything, also what only begins like a URL.
    """
    path = _url_path(origin)
    return PurePosixPath(origin if path is None else path).name


def _url_path(origin: str) -> str | None:
    """The path of an http URL, decoded; None for anything else."""
    if not origin.lower().startswith(("http://", "https://")):
        return None
    try:
        return unquote(urlsplit(origin).path)
    except ValueError:  # brackets that are no IPv6 address, say
        return None
