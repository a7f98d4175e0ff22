"""Who is asking and what they may do: API keys, roles, signed tokens.

Read `authentication.py` first.
"""
