"""Codes of an index's vectors in this process's memory: they propose, Postgres's vectors decide.

A search compares all codes, which takes a millisecond for 200,000, and ranks the best candidates by
their vectors in Postgres. So distances are exact, and what was deleted never comes back.
"""
