"""Conditional requests (RFC 9110, 13): whether the client has the current version."""


def matches_etag(etag: str, if_none_match: str | None) -> bool:
    """Whether If-None-Match has the ETag, by weak comparison."""
    tags = [tag.strip() for tag in (if_none_match or "").split(",")]
    return "*" in tags or any(tag.removeprefix("W/") == etag for tag in tags)
