"""Colors as they are meant: profiles, HDR and wide gamuts converted to 8-bit sRGB.

Read `conversion.py` first.
"""
