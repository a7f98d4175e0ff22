"""Postgres: engine, sessions and migrations, the embedded server, and the tables.

Read `connections.py` first, then `tables.py`.
"""
