"""Standing searches: the requests about them, and a worker's part, which tells of new pictures.

Read `standing_searches.py` first.
"""
