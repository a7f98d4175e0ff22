"""`make test-load`: the load test, on a server of its own."""
