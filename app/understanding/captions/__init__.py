"""Captions that a model writes, and the vectors of their texts.

Read `caption_rows.py` first.
"""
