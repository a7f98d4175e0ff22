"""Jobs: their rows, items and leases; submitting, cancelling, retrying. Read `jobs.py` first."""
