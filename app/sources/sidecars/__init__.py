"""What lies beside pictures: captions and metadata in JSON, XMP, tables, and Takeout's files.

Read `sidecar_reading.py` first.
"""
