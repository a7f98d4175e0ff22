"""Embeddings in Postgres: one partition and one HNSW graph for each index.

Read `vector_indexes.py`, then `hnsw_search.py`.
"""
