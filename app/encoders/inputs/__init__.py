"""What towers take: texts as token ids, pictures resized and cropped.

Read `preprocessing.py` first.
"""
