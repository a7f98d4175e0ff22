"""Pictures by id, by external id, by collection, and many at once. Read `images.py` first."""
