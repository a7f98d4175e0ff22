"""`make test-ray`: embedding on a Ray cluster of this machine."""
