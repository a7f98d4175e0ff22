"""Authentication and authorization: API keys, roles, signed tokens.

Read `authentication.py` first.
"""
