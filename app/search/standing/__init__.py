"""Comparing new pictures with standing searches.

Read `matching.py` first.
"""
