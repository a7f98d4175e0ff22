"""Evaluations: generations and models compared by a collection's golden queries.

Read `evaluations.py`, then `evaluation_work.py`.
"""
