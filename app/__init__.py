"""An image search engine: FastAPI and CLIP in one process, Postgres with pgvector under it."""

VERSION = "0.2.0"
"""Of this release, as in pyproject.toml and CHANGELOG.md."""
