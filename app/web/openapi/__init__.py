"""The OpenAPI document, and the pages that show it.

Read `openapi_document.py` first.
"""
