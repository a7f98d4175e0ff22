"""Labelling a collection's pictures by its label sets, as jobs.

Read `label_sets.py` first.
"""
