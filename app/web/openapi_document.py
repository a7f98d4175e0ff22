"""The OpenAPI document: tags, operation ids, and what FastAPI leaves out of it."""

from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel

from app.web.middleware.guard import SCHEMES
from app.web.problems import PROBLEM, PROBLEM_SCHEMA

TAGS = [
    {"name": "flat", "description": "Search and upload in one simple request each."},
    {"name": "images", "description": "One picture: its record, file, thumbnail, deletion."},
    {
        "name": "search",
        "description": "Search with weighted terms, filters, facets and pages.",
    },
    {
        "name": "collections",
        "description": "Sets of pictures with their own model and fields.",
    },
    {"name": "inspection", "description": "Why a picture is found or not; recall and tuning."},
    {"name": "feedback", "description": "Ratings of answers, summaries and export."},
    {"name": "duplicates", "description": "Groups of pictures that are the same, or nearly."},
    {"name": "jobs", "description": "Adding many pictures at once, and following the progress."},
    {"name": "system", "description": "Health checks and metrics."},
]

UPLOAD_FORM = "Body_upload"  # FastAPI's name of the form of `POST /upload`


def operation_id(route: APIRoute) -> str:
    """The name of the route's function, which generated clients use too."""
    return route.name


def install(app: FastAPI) -> None:
    """Add what FastAPI leaves out: the schema of problems, security schemes, null in examples."""
    generated = app.openapi

    def openapi() -> dict[str, Any]:
        document = generated()
        schemas = document["components"]["schemas"]
        schemas.setdefault(PROBLEM, PROBLEM_SCHEMA)
        schemas[UPLOAD_FORM]["additionalProperties"] = False  # as `Guarded` checks
        document["components"]["securitySchemes"] = SCHEMES
        _restore_examples(schemas)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _restore_examples(schemas: dict[str, Any]) -> None:
    """Put back the examples of our models: FastAPI drops every null from them."""
    for model in BaseModel.__subclasses__():
        told = model.model_config.get("json_schema_extra")
        ours = model.__module__.startswith("app.web.") and model.__name__ in schemas
        if ours and isinstance(told, dict):
            schemas[model.__name__] |= told
