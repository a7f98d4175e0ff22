"""What needs torch: finding a checkpoint, loading it, choosing and converting to a runtime.

Read `openclip.py` first. Nothing else in the project imports torch.
"""
