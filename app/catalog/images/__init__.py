"""Pictures as the catalog knows them: their rows, what is said of them, listing, moving, deletion.

Read `image_rows.py` first.
"""
