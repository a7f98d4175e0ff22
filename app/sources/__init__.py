"""Where pictures come from: folders and buckets, archives, URLs, and the sidecars beside pictures.

Read `sources.py` first.
"""
