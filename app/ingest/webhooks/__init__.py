"""Reports to an address that the client names, as Standard Webhooks has it.

A job's end is reported, and what a standing search has found.

Read `messages.py` first.
"""
