"""Datasets: a collection's records, vectors, labels and ratings as files, and back.

Read `tables.py` first.
"""
