"""The OpenAPI document: tags, operation ids, and what FastAPI leaves out of it."""

from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel

from app.web.idempotency import PARAMETER, REPLAYED_HEADER
from app.web.middleware.guarded_route import SCHEMES
from app.web.openapi.error_examples import add_examples
from app.web.problems.problems import PROBLEM, PROBLEM_STUB, problem_responses

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
    {
        "name": "standing searches",
        "description": "Searches that are answered by pictures as they are added.",
    },
    {
        "name": "labels",
        "description": "Labels of pictures, assigned by the model without training.",
    },
    {
        "name": "annotators",
        "description": "What is found in pictures: the words that they show, and captions.",
    },
    {"name": "inspection", "description": "Why a picture is found or not; recall and tuning."},
    {"name": "feedback", "description": "Ratings of answers, summaries and export."},
    {
        "name": "evaluation",
        "description": "Golden queries, and how well models and indexes answer them.",
    },
    {"name": "duplicates", "description": "Groups of pictures that are the same, or nearly."},
    {"name": "jobs", "description": "Adding many pictures at once, and following the progress."},
    {"name": "keys", "description": "API keys: who may use the service, and for what."},
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
            "description": "only with the code request_invalid: the request's faults, up to 10",
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

LICENSE = {"name": "MIT", "identifier": "MIT"}
ANYWHERE = (405, 431)  # what any address may answer


def operation_id(route: APIRoute) -> str:
    """The name of the route's function, which generated clients use too."""
    return route.name


def install(app: FastAPI) -> None:
    """Add what FastAPI leaves out, and write it as code generators and linters read it."""
    generated = app.openapi

    def openapi() -> dict[str, Any]:
        document = generated()
        schemas = document["components"]["schemas"]
        schemas.setdefault(PROBLEM, PROBLEM_SCHEMA)
        for name in schemas:
            if name.startswith(FORMS):
                schemas[name] |= CLOSED_FORM
        document["components"]["securitySchemes"] = SCHEMES
        document["info"]["license"] = LICENSE
        document["servers"] = [{"url": app.state.addresses.root_path or "/"}]
        _restore_examples(schemas)
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                _complete(operation)
                add_examples(operation, method, path, schemas)
        _mark_files(document)
        _refer_to_problems(document)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _complete(operation: dict[str, Any]) -> None:
    """Say whether an operation takes a key, which errors any has, and whether it was replayed."""
    operation.setdefault("security", [])
    answers = operation["responses"]
    anywhere = (*ANYWHERE, 408) if "requestBody" in operation else ANYWHERE
    for status, answer in problem_responses(*anywhere).items():
        answers.setdefault(str(status), answer)
    if PARAMETER in operation.get("parameters", ()):
        for status, answer in answers.items():
            if status.startswith("2"):
                answer["headers"] = {**answer.get("headers", {}), **REPLAYED_HEADER}
    for media in answers.get("200", {}).get("content", {}).values():
        if media.pop("itemSchema", None) is not None:  # of OpenAPI 3.2
            media["schema"] = {"description": "server-sent events"}


def _mark_files(node: Any) -> None:
    """Call files `format: binary`, as generators know them, not by their content's media type."""
    if isinstance(node, dict):
        if node.get("contentMediaType") == "application/octet-stream":
            del node["contentMediaType"]
            node["format"] = "binary"
        for inner in node.values():
            _mark_files(inner)
    elif isinstance(node, list):
        for inner in node:
            _mark_files(inner)


def _refer_to_problems(node: Any) -> None:
    """Put the schema of problems where its stub is."""
    if node == PROBLEM_STUB:
        node.clear()
        node["$ref"] = f"#/components/schemas/{PROBLEM}"
    elif isinstance(node, dict | list):
        for inner in node.values() if isinstance(node, dict) else node:
            _refer_to_problems(inner)


def _restore_examples(schemas: dict[str, Any]) -> None:
    """Put back the examples of our models: FastAPI drops every null from them."""
    models: list[type[BaseModel]] = [BaseModel]
    for model in models:
        models += model.__subclasses__()
        told = model.model_config.get("json_schema_extra")
        ours = model.__module__.startswith("app.web.") and model.__name__ in schemas
        if ours and isinstance(told, dict):
            schemas[model.__name__] |= told
