"""The request and the answer of a search, and the terms of its query.

Read `request.py` first.
"""
