"""The embedded Postgres: its programs, data folder, configuration and server; its major upgrades.

Read `embedded_postgres.py` first.
"""
