"""JPEG XL, by the optional package pylibjxl (the extra `jxl`).

Read `pillow_plugin.py` first.
"""
