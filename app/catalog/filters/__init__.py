"""Filters: fields and their values, and the SQL of a filter.

Read `filters.py` first.
"""
