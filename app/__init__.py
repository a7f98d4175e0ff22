"""An image search engine: FastAPI and CLIP in one process, Postgres with pgvector under it."""
