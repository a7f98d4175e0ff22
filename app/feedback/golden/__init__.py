"""Golden queries: searches with the pictures they should find, and what is measured by them.

Read `golden_rows.py`, then `retrieval_metrics.py` and `paired_comparison.py`.
"""
