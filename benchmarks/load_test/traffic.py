"""What people do on a server, in the proportions of a library that is searched a lot.

`locust -f benchmarks/load_test/traffic.py --host http://127.0.0.1:8000` runs it in locust's own
page; the variable `KEY` holds an API key. Uploads and ratings go to a collection of their own.
"""

import io
import os
import random
from collections.abc import Mapping
from typing import Any

from locust import HttpUser, between, events
from locust.clients import HttpSession
from locust.env import Environment
from locust.event import EventHook
from PIL import Image

KEY = os.environ.get("KEY")
COLLECTION = os.environ.get("COLLECTION", "default")  # searched and listed; never written to
SCRATCH = "load-test"  # the collection that is uploaded to, made before, deleted after
REFUSALS = {429, 503}  # the server says that it is at its bound
EDGE_PIXELS = 256  # of an uploaded picture
WAIT_SECONDS = (0.0, 0.2)  # between two requests of one client
HITS = 20

SIZES = ("big", "small", "old", "new", "tall", "broken", "shiny", "wet", "dusty", "tiny")
COLOURS = ("red", "green", "blue", "yellow", "white", "black", "brown", "grey", "pink", "orange")
THINGS = ("tree", "car", "dog", "house", "cup", "boat", "flower", "chair", "bird", "receipt")
PLACES = ("in the snow", "at night", "on a table", "by the sea", "in a street", "on grass")
CHANCE = random.Random()  # noqa: S311  # it decides what is asked for, not who may

FREQUENT = ("a green tree", "a red car", "a dog", "a house by the sea")


class Refused(Exception):
    """The server answered 429 or 503: it is at a bound that its settings name."""


class Person(HttpUser):  # type: ignore[misc]  # locust is not installed where types are checked
    """One client, with the weights of `tasks`."""

    wait_time = between(*WAIT_SECONDS)

    def on_start(self) -> None:
        """Send the key with each request, and know some pictures."""
        self.client.headers.update(headers())
        listed = self._ask("GET", "/api/v1/images", params={"collection": COLLECTION, "limit": 100})
        self.ids = [each["id"] for each in listed["data"]] if listed else []

    def new_text(self) -> None:
        """Words that nobody has searched for, most likely: nothing is kept for them."""
        chosen = (CHANCE.choice(words) for words in (SIZES, COLOURS, THINGS, PLACES))
        self._search("new text", query=[{"text": f"a {' '.join(chosen)} {CHANCE.random():.6f}"}])

    def frequent_text(self) -> None:
        """Words that many search for."""
        self._search("frequent text", query=[{"text": CHANCE.choice(FREQUENT)}])

    def similar(self) -> None:
        """More like a picture of the library."""
        if self.ids:
            self._search("similar", query=[{"id": CHANCE.choice(self.ids)}])

    def words_and_facets(self) -> None:
        """A hybrid search with a filter and facets, as the page sends it."""
        self._search(
            "hybrid with facets",
            query=[{"text": CHANCE.choice(THINGS)}],
            mode="hybrid",
            filter={"width": {"gte": 100}},
            facets=["format"],
        )

    def thumbnail(self) -> None:
        """A picture of an answer."""
        if self.ids:
            path = f"/api/v1/images/{CHANCE.choice(self.ids)}/thumbnail"
            self._ask("GET", path, name="thumbnail")

    def upload_and_rate(self) -> None:
        """A picture of noise, searchable at once, then a rating of an answer."""
        where = f"/api/v1/collections/{SCRATCH}/images"
        self._ask("POST", where, name="upload", files={"file": ("noise.jpg", noise())})
        answer = self._search("search in the uploads", collection=SCRATCH, query=[{"text": "a"}])
        if answer:
            rating = {"token": answer["token"], "rating": CHANCE.randint(1, 10)}
            self._ask("POST", "/api/v1/feedback", name="rating", json=rating)

    tasks = {  # noqa: RUF012  # as locust reads it
        new_text: 10,
        frequent_text: 5,
        similar: 4,
        words_and_facets: 2,
        thumbnail: 2,
        upload_and_rate: 1,
    }

    def _search(self, name: str, collection: str = COLLECTION, **asked: Any) -> Any:
        body = {"collection": collection, "limit": HITS, **asked}
        return self._ask("POST", "/api/v1/search", name=name, json=body)

    def _ask(self, method: str, path: str, **sent: Any) -> Any:
        """The answer's JSON or None; refusals are counted apart from faults."""
        with self.client.request(method, path, catch_response=True, **sent) as response:
            if response.status_code in REFUSALS:
                response.failure(Refused(str(response.status_code)))
            elif response.status_code == 0 or response.status_code >= 400:
                response.failure(f"{response.status_code}: {(response.text or '')[:200]}")
            elif response.headers.get("Content-Type", "").startswith("application/json"):
                return response.json()
            return None


def headers() -> Mapping[str, str]:
    """What each request carries."""
    return {"Authorization": f"Bearer {KEY}"} if KEY else {}


def noise() -> bytes:
    """A JPEG that no other equals."""
    small = Image.frombytes("RGB", (16, 16), CHANCE.randbytes(16 * 16 * 3))
    written = io.BytesIO()
    small.resize((EDGE_PIXELS, EDGE_PIXELS)).save(written, "JPEG")
    return written.getvalue()


def make_scratch(environment: Environment, **_: object) -> None:
    """A collection for what is uploaded.

    Raises RuntimeError where the server does not let us, or has one of this name: it is deleted
    at the end, so it must be ours.
    """
    _change(environment, "POST", "/api/v1/collections", {201}, json={"name": SCRATCH})


def delete_scratch(environment: Environment, **_: object) -> None:
    """Leave nothing behind. Raises RuntimeError where the server does not let us."""
    _change(environment, "DELETE", f"/api/v1/collections/{SCRATCH}", {204})


def _change(environment: Environment, method: str, path: str, fine: set[int], **sent: Any) -> None:
    session = HttpSession(environment.host, request_event=EventHook(), user=None)
    answer = session.request(method, path, headers=headers(), **sent)
    if not answer.status_code:
        raise RuntimeError(f"No server answers at {environment.host}; start it with `make start`.")
    if answer.status_code not in fine:
        raise RuntimeError(f"{method} {path}: {answer.text}")


events.test_start.add_listener(make_scratch)  # for locust's own page; __main__.py calls them itself
events.test_stop.add_listener(delete_scratch)
