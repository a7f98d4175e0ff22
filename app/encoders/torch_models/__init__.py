"""Everything that needs torch: finding and loading a checkpoint, choosing a runtime, converting.

Read `openclip.py` first. Nothing else in the project imports torch.
"""
