"""Annotators of collections: turning them on and off, and the jobs that look at pictures.

Read `annotators.py` first.
"""
