"""Pictures and collections as rows: what is stored, listed, filtered, changed and deleted.

Read `image_rows.py` and `filters.py` first.
"""
