"""Standing searches as rows: what they ask for, what they have found, what is yet to be compared.

Read `standing_search_rows.py` first.
"""
