"""Parts of pictures that are embedded beside the whole: where they are.

Read `grid.py` first.
"""
