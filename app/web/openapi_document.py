"""The OpenAPI document: tags, operation ids, and what FastAPI leaves out of it."""

from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel

from app.web.middleware.guard import SCHEMES
from app.web.problems import PROBLEM

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

FAULT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["loc", "code", "message"],
    "properties": {
        "loc": {
            "type": "array",
            "items": {"type": ["string", "integer"]},
            "description": "where it is: query, path or body, then names and positions",
        },
        "code": {"type": "string", "description": "the kind of fault"},
        "message": {"type": "string", "description": "what is wrong, in words"},
    },
}
PROBLEM_SCHEMA: dict[str, Any] = {
    "title": PROBLEM,
    "description": "An error, as RFC 9457 describes it.",
    "type": "object",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string", "description": "always about:blank: `code` tells the kind"},
        "title": {"type": "string", "description": "name of the HTTP status"},
        "status": {"type": "integer", "description": "the HTTP status code"},
        "code": {
            "type": "string",
            "description": "the kind of error, which does not change: see docs/api.md",
            "examples": ["image_too_large"],
        },
        "detail": {"type": "string", "description": "a sentence that a person can act on"},
        "errors": {
            "type": "array",
            "items": FAULT_SCHEMA,
            "description": "only with the code request_invalid: each fault of the request",
        },
        "files": {
            "type": "array",
            "items": {"$ref": "#/components/schemas/UploadResult"},
            "description": "only in answers of `POST /upload`: what became of each file",
        },
    },
}

FORMS = "Body_"  # how FastAPI begins the name of a form
CLOSED_FORM = {"description": "The fields of the form.", "additionalProperties": False}


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
        for name in schemas:
            if name.startswith(FORMS):
                schemas[name] |= CLOSED_FORM
        document["components"]["securitySchemes"] = SCHEMES
        _restore_examples(schemas)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _restore_examples(schemas: dict[str, Any]) -> None:
    """Put back the examples of our models: FastAPI drops every null from them."""
    models: list[type[BaseModel]] = [BaseModel]
    for model in models:
        models += model.__subclasses__()
        told = model.model_config.get("json_schema_extra")
        ours = model.__module__.startswith("app.web.") and model.__name__ in schemas
        if ours and isinstance(told, dict):
            schemas[model.__name__] |= told
