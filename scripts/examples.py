"""Ask the running server five questions and print what it answers: `make examples`."""

import json
import sys
from typing import Any

from app.settings import Settings
from scripts import server_requests
from scripts.command_line import run_command, sentences

TIMEOUT_SECONDS = 30
LIMIT = 3
CAR = "data/test_images/red-car.png"  # replaced by its id, which differs between databases

EXAMPLES: list[tuple[str, dict[str, Any]]] = [
    ("text", {"query": "a green tree"}),
    ("text minus text", {"query": [{"text": "a car"}, {"text": "red", "weight": -0.5}]}),
    ("picture plus text", {"query": [{"id": CAR}, {"text": "mountains", "weight": 0.7}]}),
    (
        "filtered with dates",
        {
            "query": "a green tree",
            "filter": {"format": "WEBP", "created_at": {"gte": "2026-01-01"}},
        },
    ),
    ("hybrid", {"query": "tree house", "hybrid": {"alpha": 0.5}}),
]


def main() -> None:
    """Print each question and its first hits, with score and confidence."""
    with sentences("Not searched"):
        address = Settings.load().address
    with server_requests.sentences(address):
        car = _car(address)
        for title, body in EXAMPLES:
            asked = json.loads(json.dumps({**body, "limit": LIMIT}).replace(f'"{CAR}"', str(car)))
            print(f"{title}\n  {json.dumps(asked)}")
            _show(_post(address, asked))


def _car(address: str) -> int:
    """The id of the picture that one example starts from."""
    found = _post(address, {"filter": {"path": CAR}, "limit": 1})["hits"]
    if not found:
        sys.exit(f"{CAR} is not indexed: the examples are for TESTING=1 make start.")
    image_id: int = found[0]["id"]
    return image_id


def _post(address: str, body: dict[str, Any]) -> dict[str, Any]:
    request = server_requests.request(f"{address}/api/v1/search", body)
    found: dict[str, Any] = server_requests.ask(request, TIMEOUT_SECONDS)
    return found


def _show(answer: dict[str, Any]) -> None:
    for hit in answer["hits"]:
        sure = "    " if hit["confidence"] is None else f"{hit['confidence']:.2f}"
        print(f"  {hit['score']:.3f}  {sure}  {hit['path']}")
    match = ", no match" if answer["no_match"] else ""
    print(f"  by {answer['method']} in {sum(answer['timings_ms'].values()):.0f} ms{match}\n")


if __name__ == "__main__":
    run_command(main)
