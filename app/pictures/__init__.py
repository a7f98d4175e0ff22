"""Image files: safe decoding, thumbnails, Exif, perceptual hashes.

Read `decoding.py` first.
"""
