"""Ratings: stored, summarised, and used to adjust queries once an evaluation shows that it helps.

Read `ratings.py`, then `rocchio.py`.
"""
