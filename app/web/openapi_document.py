"""The OpenAPI document: what FastAPI does not know of itself."""

from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel

from app.web.middleware.guard import SCHEMES
from app.web.problems import PROBLEM, PROBLEM_SCHEMA

TAGS = [
    {"name": "flat", "description": "Search and upload by one request: the first users' routes."},
    {"name": "images", "description": "One picture: its record, file, thumbnail, deletion."},
    {"name": "search", "description": "The whole search: terms, filters, orders, facets, pages."},
    {"name": "collections", "description": "Sets of pictures with models and fields of their own."},
    {"name": "inspection", "description": "Why a picture is found or not; how much is found."},
    {"name": "feedback", "description": "Ratings of answers, and what they come to."},
    {"name": "duplicates", "description": "Groups of pictures alike."},
    {"name": "jobs", "description": "Many pictures handed in at once, and how far they are."},
    {"name": "system", "description": "Whether the server is alive, and ready."},
]


def operation_id(route: APIRoute) -> str:
    """The name of the route's function: what generated clients call it by."""
    return route.name


def install(app: FastAPI) -> None:
    """Add the schema of problems, which FastAPI leaves out as it is not `application/json`."""
    generated = app.openapi

    def openapi() -> dict[str, Any]:
        document = generated()
        schemas = document["components"]["schemas"]
        schemas.setdefault(PROBLEM, PROBLEM_SCHEMA)
        document["components"]["securitySchemes"] = SCHEMES
        _restore_examples(schemas)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _restore_examples(schemas: dict[str, Any]) -> None:
    """FastAPI drops every null of the document, in examples too: models have them whole."""
    for model in BaseModel.__subclasses__():
        told = model.model_config.get("json_schema_extra")
        ours = model.__module__.startswith("app.web.") and model.__name__ in schemas
        if ours and isinstance(told, dict):
            schemas[model.__name__] |= told
