"""Ratings: kept, summed up, and allowed to move queries where an evaluation shows that it helps.

Read `ratings.py`, then `rocchio.py`.
"""
