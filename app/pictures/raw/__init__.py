"""Camera raw files: their largest preview, orientation and Exif.

Read `camera_raw.py` first.
"""
