"""Two addresses of one resource: its home below /api/v1, and a flat one that programs rely on."""

from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import APIRouter

F = TypeVar("F", bound=Callable[..., Any])

API = "/api/v1"
ALIAS_PREFIX = "flat_"  # of an alias's operation id


def at_both_addresses(
    router: APIRouter, method: str, path: str, tag: str, **options: Any
) -> Callable[[F], F]:
    """Serve a function below /api/v1 and, named as an alias in the document, without that."""

    def register(endpoint: F) -> F:
        home = f"{API}{path}"
        router.add_api_route(home, endpoint, methods=[method], tags=[tag], **options)
        router.add_api_route(
            path,
            endpoint,
            methods=[method],
            tags=["flat"],
            name=f"{ALIAS_PREFIX}{endpoint.__name__}",
            description=alias_of(method, home),
            **options,
        )
        return endpoint

    return register


def alias_of(method: str, home: str) -> str:
    """The description of an alias."""
    return f"An alias of `{method} {home}`."
