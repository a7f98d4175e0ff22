"""What `make test-clients` runs with generated clients, on a live server."""
