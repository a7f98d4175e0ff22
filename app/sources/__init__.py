"""Where pictures come from: folders, buckets, archives and URLs, and the sidecars beside them.

Read `interfaces.py` first, then `folders.py`; archives are read in `archives/`.
"""
