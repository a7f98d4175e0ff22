"""Conditional requests (RFC 9110, 13): whether the client has the current version."""


def matches_etag(etag: str, if_none_match: str | None) -> bool:
    """Whether If-None-Match has the ETag, by weak comparison."""
    tags = [tag.strip() for tag in (if_none_match or "").split(",")]
    return "*" in tags or any(tag.removeprefix("W/") == etag for tag in tags)


def is_expected(etag: str, if_match: str) -> bool:
    """Whether If-Match has the ETag, by strong comparison."""
    tags = [tag.strip() for tag in if_match.split(",")]
    return "*" in tags or etag in tags
