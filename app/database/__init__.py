"""Postgres: connections and migrations (`connections.py`), the embedded server, the tables."""
