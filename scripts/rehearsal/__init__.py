"""The parts of `make rehearse-swap`. It re-exports nothing."""
