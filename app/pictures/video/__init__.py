"""Videos: which frames stand for one, and decoding them in a process of its own.

Read `frame_reading.py` first.
"""
