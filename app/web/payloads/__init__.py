"""Requests and responses as pydantic models, one module for each subject."""
