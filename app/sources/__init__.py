"""Where pictures come from: folders, buckets, archives and URLs, and the sidecars beside them.

Read `interfaces.py` first, then `folders.py`; an archive is read by `archives.py`.
"""
