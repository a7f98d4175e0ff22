"""Try the running server with one search: `make test-api SEARCH="a green tree" LIMIT=4`."""

import json
import sys
from typing import Annotated
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode

import typer

from app.settings import Settings
from scripts.server_requests import ask

TIMEOUT_SECONDS = 60


def main(
    search: Annotated[str, typer.Option(envvar="SEARCH", help="what the picture shows")],
    limit: Annotated[int, typer.Option(envvar="LIMIT", help="how many pictures")] = 4,
) -> None:
    """Print the answer of /search-by-text as indented JSON."""
    address = Settings.load().address
    print(f"Testing /search-by-text with '{search}' query and limit {limit}...")
    try:
        query = urlencode({"query": search, "limit": limit})
        answer = ask(f"{address}/search-by-text?{query}", TIMEOUT_SECONDS)
        print(json.dumps(answer, indent=3, ensure_ascii=False))
    except HTTPError as error:
        sys.exit(f"{error.code}: {json.load(error)['detail']}")
    except URLError as error:
        sys.exit(f"No server answers at {address} ({error.reason}). Start it with `make start`.")


if __name__ == "__main__":
    typer.run(main)
