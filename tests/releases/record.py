"""Keep what a release's database holds and answers, for test_releases.py.

Start the release with TESTING=1, IMAGE_SEARCH_PRECISION=fp32, a port of its own and a dozen of the
bundled pictures, in a clone at /srv/image-search, since its paths are kept too. Then:
python -m tests.releases.record 0.3.0 http://127.0.0.1:8001 'postgresql://…'
"""

import json
import sys
import time
from pathlib import Path
from typing import Any, Protocol

import httpx
from sqlalchemy import make_url

from app.database.embedded.postgres_programs import find_programs

FOLDER = Path(__file__).parent
DUMP_SECONDS = 60.0
POLL_SECONDS = 0.2
DIGITS = 4  # of distances; the rest is rounding of the processor
FORGET_SECRET = """
    DO $$ BEGIN
        IF to_regclass('installation') IS NOT NULL THEN
            UPDATE installation SET secret = NULL;
        END IF;
    END $$
"""  # the next start makes another
PICTURES = FOLDER.parents[1] / "data" / "test_images"
QUESTIONS: dict[str, dict[str, Any]] = {
    "words": {"query": "a green tree", "limit": 8},
    "words, weighted": {
        "query": [{"text": "a car"}, {"text": "red", "weight": -0.5}],
        "limit": 8,
    },
    "a picture": {"query": [{"id": 2}], "limit": 8},
    "words and a picture": {"query": [{"id": 2}, {"text": "an animal"}], "limit": 8},
    "a filter": {"query": "the sea", "filter": {"metadata.place": "Lisbon"}},
    "another collection": {"query": "a plane", "collection": "holidays"},
}

Answers = dict[str, list[tuple[int, float]]]


class Asks(Protocol):
    """What of a client of httpx or of a test asks."""

    def post(self, url: str, *, json: dict[str, Any]) -> Any:
        """An answer."""


def ask(client: Asks) -> Answers:
    """The ids and distances of each question's hits, in order."""
    answers = {}
    for name, question in QUESTIONS.items():
        answer = client.post("/api/v1/search", json=question)
        assert answer.status_code == 200, (name, answer.text)
        answers[name] = [
            (hit["id"], round(hit["distance"], DIGITS)) for hit in answer.json()["hits"]
        ]
    return answers


def add(client: httpx.Client) -> None:
    """What people would add to the pictures of a folder: uploads, a collection, a rating."""
    made = client.post(
        "/api/v1/collections", json={"name": "holidays", "fields": {"place": "text"}}
    )
    made.raise_for_status()
    for collection, picture, place in (
        ("default", "anchor.jpg", "Lisbon"),
        ("holidays", "airplane.jpg", "Porto"),
        ("holidays", "castle.webp", "Sintra"),
    ):
        sent = client.post(
            f"/api/v1/images?collection={collection}",
            files={"files": (picture, (PICTURES / picture).read_bytes())},
            data={"caption": picture, "metadata": json.dumps({"place": place})},
        )
        job = sent.raise_for_status().json()["url"]
        while not client.get(job).raise_for_status().json()["finished_at"]:
            time.sleep(POLL_SECONDS)
    token = client.post("/api/v1/search", json=QUESTIONS["words"]).json()["token"]
    client.post("/api/v1/feedback", json={"token": token, "rating": 8}).raise_for_status()


def dump(database_url: str) -> str:
    """The database as SQL, without the secret that signs tokens."""
    address = make_url(database_url).set(drivername="postgresql")
    url = address.render_as_string(hide_password=False)
    programs = find_programs()
    programs.run("psql", "--command", FORGET_SECRET, url, seconds=DUMP_SECONDS)
    return programs.run("pg_dump", "--no-owner", url, seconds=DUMP_SECONDS)


def main(version: str, address: str, database_url: str) -> None:
    """Add to the release's database, ask it, and keep both."""
    with httpx.Client(base_url=address, timeout=60) as client:
        add(client)
        answers = ask(client)
    (FOLDER / f"{version}.json").write_text(json.dumps(answers) + "\n")
    (FOLDER / f"{version}.sql").write_text(dump(database_url) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
