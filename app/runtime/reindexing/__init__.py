"""Reindexing: another generation of a collection's vectors, filled, activated and rolled back.

It re-exports nothing.
"""
