"""Try the running server with one search: `make test-api SEARCH="a green tree" LIMIT=4`."""

import json
from typing import Annotated
from urllib.parse import urlencode

import typer

from app.settings import Settings
from scripts import server_requests
from scripts.command_line import run_command, sentences

TIMEOUT_SECONDS = 60


def main(
    search: Annotated[str, typer.Option(envvar="SEARCH", help="what the picture shows")],
    limit: Annotated[int, typer.Option(envvar="LIMIT", help="how many pictures")] = 4,
) -> None:
    """Print the answer of /search-by-text as indented JSON."""
    with sentences("Not searched"):
        address = Settings.load().address
    print(f"Testing /search-by-text with '{search}' query and limit {limit}...")
    query = urlencode({"query": search, "limit": limit})
    with server_requests.sentences(address):
        request = server_requests.request(f"{address}/search-by-text?{query}")
        answer = server_requests.ask(request, TIMEOUT_SECONDS)
    print(json.dumps(answer, indent=3, ensure_ascii=False))


if __name__ == "__main__":
    run_command(main)
