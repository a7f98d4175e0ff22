"""The parts of `make rehearse-swap` and `make rehearse-processes`. It re-exports nothing."""
