"""Command-line scripts; run as `python -m scripts.NAME` from the root."""
