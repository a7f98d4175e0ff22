"""How good answers are: golden queries, evaluations by them, recall."""
