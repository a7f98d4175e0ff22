"""Annotators: which a collection has on, and which of its pictures each has looked at.

Read `annotation_rows.py` first.
"""
