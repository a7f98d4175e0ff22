"""Graphs over the pictures with one label, for searches within a category.

Read `category_copies.py` first: a graph is a partial HNSW index over copies of their vectors.
"""
