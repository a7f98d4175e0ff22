"""What a picture shows, found out by models and written down for searches and people.

Read `labels/labels.py` first.
"""
