"""What is written in a picture about it: Exif, IPTC and XMP, read as one description.

Read `embedded_metadata.py` first.
"""
