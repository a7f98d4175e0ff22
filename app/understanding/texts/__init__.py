"""Words in pictures: whether a picture looks like text, and reading it in a process of its own.

Read `text_reader.py` first.
"""
