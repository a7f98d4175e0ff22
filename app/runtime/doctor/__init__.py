"""The doctor: finds what does not fit together between disk, buckets, rows and jobs, and mends it.

Read `doctor.py` first.
"""
