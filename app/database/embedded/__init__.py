"""The embedded Postgres: its programs, its server, and the move to another major version.

Read `embedded_postgres.py` first.
"""
