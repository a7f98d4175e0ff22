"""What both clients make of their arguments."""

import json
from collections.abc import Mapping
from typing import Any


def headers_of(key: str | None) -> dict[str, str]:
    """The headers of every request."""
    return {} if key is None else {"Authorization": f"Bearer {key}"}


def form_of(caption: str | None, metadata: Mapping[str, Any] | None) -> dict[str, str]:
    """The fields that are sent with files."""
    found = {} if caption is None else {"caption": caption}
    return found | ({} if metadata is None else {"metadata": json.dumps(dict(metadata))})
