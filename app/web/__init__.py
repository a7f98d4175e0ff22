"""HTTP: routes, their payloads, the middleware around them, and the page.

Read `routes/search.py` first.
"""
