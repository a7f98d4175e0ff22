"""Versions of a picture's record, for changes on the condition that nobody else was faster."""

import hashlib
import json

from app.database.tables import Image

VERSION_DIGITS = 32  # of a SHA-256 in hexadecimal


def version_of(image: Image) -> str:
    """What tells the versions of a picture's record apart, in VERSION_DIGITS hex digits."""
    file = [image.content_hash.hex(), image.stored_path]
    said = [image.caption, image.metadata, image.external_id]
    known = json.dumps([file, said], sort_keys=True)
    return hashlib.sha256(known.encode()).hexdigest()[:VERSION_DIGITS]
