"""Image files: safe decoding, colors, camera raw, metadata, thumbnails, perceptual hashes.

Read `decoding.py` first.
"""
