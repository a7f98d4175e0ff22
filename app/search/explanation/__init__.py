"""Why a picture is, or is not, in an answer, and what its score is made of.

Read `image_explanation.py` first.
"""
