"""Measures time and memory of this project and others on one machine, for `scripts.benchmark`."""
