"""HTTP: routes, their payloads, the middleware around them, and the page.

`application.py` puts them together. Read `routes/search.py` first.
"""
