"""Bodies about how good answers are: golden queries, evaluations by them, recall."""
