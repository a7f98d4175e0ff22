"""The bodies of requests and responses as pydantic models, one module for each subject."""
