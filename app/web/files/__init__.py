"""Files and thumbnails over HTTP: headers, ranges, conditions.

Read `original_response.py` first.
"""
