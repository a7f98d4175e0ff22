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
    """The last part of a path or of a URL, decoded."""
    path = unquote(urlsplit(origin).path) if "://" in origin else origin
    return PurePosixPath(path).name
