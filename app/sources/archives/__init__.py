"""Zip and tar files: their pictures, and the tables and sidecars among them.

Read `archives.py` first.
"""
