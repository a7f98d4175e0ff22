"""Hits that belong together: duplicates, copies, and the pictures of a series.

Read `result_grouping.py` first.
"""
