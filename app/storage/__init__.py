"""File storage: the local disk (`disk.py`), and S3 or R2 (`buckets.py`)."""
