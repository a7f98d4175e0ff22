"""Measures the peers: each module runs in their environment and imports none of our code."""
