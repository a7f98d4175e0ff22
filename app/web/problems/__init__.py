"""Errors as HTTP: problem+json by kind of error, and what FastAPI's own errors become.

Read `problems.py` first.
"""
