"""From what people hand in to searchable rows: jobs, their files, uploads.

A job's way: `job_submission.py`, `source_listing.py`, `batch_indexing.py`.
"""
