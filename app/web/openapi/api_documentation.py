"""The interactive documentation at /docs: Swagger UI, from an installed package, without a CDN.

The package `fastapi-offline` carries Swagger UI's files (Apache License 2.0); nothing else of it is
used.
"""

from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter, HTTPException, Response
from fastapi.responses import FileResponse

from app.web.middleware.guarded_route import Guarded, needs

router = APIRouter(include_in_schema=False, route_class=Guarded)

PACKAGE = "fastapi_offline"
FILES = {
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "favicon.png": "image/png",
}
"""What is served of the package, and its media types."""
START = "start.js"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""Swagger UI sets `style` attributes; every script is a file of this service."""
FOREVER = "public, max-age=31536000, immutable"  # a year in seconds

DOCUMENT = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Image search: API</title>
<link rel="icon" href="docs/{version}/favicon.png">
<link rel="stylesheet" href="docs/{version}/swagger-ui.css">
<div id="swagger-ui"></div>
<script src="docs/{version}/swagger-ui-bundle.js"></script>
<script src="docs/{version}/start.js"></script>
"""
SCRIPT = """SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  defaultModelsExpandDepth: 0, // a hundred schemas are drawn only where somebody looks at them
  validatorUrl: null, // asks another host otherwise
});
"""


@lru_cache(maxsize=1)
def package_version() -> str:
    """The version of the package: it is part of the files' addresses."""
    return version(PACKAGE)


@lru_cache(maxsize=1)
def _folder() -> Path:
    """The package's folder of files; the package itself is not imported."""
    found = find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise HTTPException(404, f"The package {PACKAGE} is not installed: run `make install`.")
    return Path(found.submodule_search_locations[0]) / "static"


@router.api_route("/docs", methods=["GET", "HEAD"], summary="The interactive documentation")
@needs(None)
def documentation() -> Response:
    """The page; what it lists and calls needs a key, where there are keys."""
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
    body = DOCUMENT.format(version=package_version())
    return Response(body, headers=headers, media_type="text/html")


@router.api_route("/docs/{version}/{name}", methods=["GET", "HEAD"], summary="A file of it")
@needs(None)
def documentation_file(version: str, name: str) -> Response:
    """A file of this version. Raises HTTPException 404."""
    headers = {"Cache-Control": FOREVER}
    if version == package_version() and name == START:
        return Response(SCRIPT, headers=headers, media_type="text/javascript")
    if version != package_version() or name not in FILES:
        raise HTTPException(404, "There is no such file of the documentation: load /docs again.")
    return FileResponse(_folder() / name, headers=headers, media_type=FILES[name])
