"""One request to one response: encode the query, rank, page, explain.

Read `search.py` first.
"""
