"""Where files are kept: this machine's disk (`disk.py`), and S3 or R2 (`buckets.py`)."""
