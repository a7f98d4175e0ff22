"""The query of a search: its terms, their embedding, its language. Read `query_terms.py` first."""
