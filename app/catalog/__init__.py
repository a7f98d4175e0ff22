"""Pictures and collections as rows: what is stored, listed, filtered, changed and deleted.

Read `image_rows.py` first, then `filters/`.
"""
