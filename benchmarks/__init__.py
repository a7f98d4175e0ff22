"""What this project and others take on one machine: the parts of `scripts.benchmark`."""
