"""Zero-shot labels: names for what pictures show, told by the vectors that searches use.

Read `labels.py` first.
"""
