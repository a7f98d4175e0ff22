"""Filters that a query's words suggest: dates, and names that the collection's pictures bear.

Read `filter_suggestions.py` first.
"""
