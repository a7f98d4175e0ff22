"""Reports of a job's end to an address that the client names, as Standard Webhooks has it.

Read `messages.py` first.
"""
