"""Groups of duplicates: equal bytes, similar looks, or similar content.

Read `duplicate_groups.py` first.
"""
