"""Clients of several servers behind one address, who check what each of them has from the others.

Every request is sent once more where a server died on it, and never twice.
"""

import http.client
import io
import json
import math
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from scripts.rehearsal.clients import FIRST_UPLOAD, JSON, TEXTS, upload
from scripts.rehearsal.haproxy import SERVER_HEADER
from scripts.rehearsal.servers import Server, draw_picture

ANSWER_SECONDS = 130  # longer than HAProxy waits
DYING_SECONDS = 3.0  # after a kill: requests that it had are broken off, new ones go elsewhere
OF_THE_DYING = {502, 503}  # of HAProxy: it had sent the request, or has no server yet
RETRY_SECONDS = 0.1  # between looks whether a request can be sent once more
SEEDS_OF_A_VISITOR = 100_000


class Fault(Exception):
    """What should not be."""


@dataclass(frozen=True)
class Answer:
    """An answer, by whom, and whether it is that of a second attempt."""

    status: int
    server: str
    body: bytes
    token: str | None
    is_repeated: bool

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body) if self.body else None


@dataclass
class Visits:
    """What all visitors have done and seen."""

    port: int
    kills: int = 0
    killed_at: float = -math.inf  # of the monotonic clock: since then a server is gone
    is_killing: bool = False  # under load, a process takes a while to end
    done: Counter[str] = field(default_factory=Counter)
    from_another: Counter[str] = field(default_factory=Counter)
    repeated: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def is_dying(self) -> bool:
        """Whether a server was killed just now."""
        return self.is_killing or time.monotonic() - self.killed_at < DYING_SECONDS

    def kill(self, server: Server) -> None:
        """Kill a server under the visitors."""
        self.is_killing = True
        server.kill()
        self.kills += 1
        self.killed_at = time.monotonic()
        self.is_killing = False

    def visit(self, seed: int, stop: threading.Event) -> None:
        """One client, until the event is set."""
        visitor = Visitor(self, seed)
        while not stop.is_set():
            try:
                visitor.do_something()
            except Fault as fault:
                after = time.monotonic() - self.killed_at
                self.faults.append(f"{after:.1f} s after a kill, client {seed}: {fault}")


class Visitor:
    """One client."""

    def __init__(self, visits: Visits, seed: int) -> None:
        self._visits = visits
        self._chance = random.Random(seed)  # noqa: S311  # not a secret
        self._seeds = iter(range(FIRST_UPLOAD + SEEDS_OF_A_VISITOR * seed, 2**31))
        self._name = f"visitor-{seed}"
        self._collections = 0
        self._connection: http.client.HTTPConnection | None = None

    def do_something(self) -> None:
        """One of several things that people do, each with several requests. Raises Fault."""
        things: list[tuple[Callable[[], None], int]] = [
            (self._search, 10),
            (self._upload, 4),
            (self._page_and_rate, 3),
            (self._make_and_drop_collection, 1),
        ]
        (thing,) = self._chance.choices([one for one, _ in things], [often for _, often in things])
        thing()
        with self._visits.lock:
            self._visits.done[thing.__name__.strip("_").replace("_", " ")] += 1

    def _search(self) -> None:
        text = self._chance.choice(TEXTS)
        answer = self.ask("GET", f"/search-by-text?limit=5&query={text.replace(' ', '+')}")
        _check(len(answer.json) == 5, f"{text}: {len(answer.json)} hits")

    def _upload(self) -> None:
        """It is found, served and deleted, each time by whatever server is asked."""
        seed = next(self._seeds)
        data = _picture(seed)
        path, body, headers = upload(seed)
        stored = self.ask("POST", path, body, headers, expected={200, 201})
        image_id = stored.json[0]["id"]
        sent = {"Content-Type": "image/jpeg"}
        near = self.ask("POST", "/search-by-image?limit=1", data, sent)
        _check([hit["id"] for hit in near.json] == [image_id], f"upload {image_id} was not found")
        self._count("upload seen", stored, near)
        file = self.ask("GET", f"/images/{image_id}/file")
        _check(file.body == data, f"the file of {image_id} is another")
        self._count("file served", stored, file)
        self.ask("GET", f"/images/{image_id}/thumbnail")
        gone = self.ask("DELETE", f"/images/{image_id}", expected={204}, or_if_repeated={404})
        near = self.ask("POST", "/search-by-image?limit=5", data, sent)
        _check(image_id not in [hit["id"] for hit in near.json], f"{image_id} is found, deleted")
        self._count("deletion seen", gone, near)
        again = self.ask("GET", f"/images/{image_id}/file", expected={404})
        self._count("deletion seen", gone, again)

    def _page_and_rate(self) -> None:
        """Cursors and tokens are signed by one server, and read by another."""
        asked: dict[str, Any] = {"query": self._chance.choice(TEXTS), "limit": 4}
        first = self.ask("POST", "/api/v1/search", json.dumps(asked).encode(), JSON)
        cursor = {"cursor": first.json["next_cursor"]}
        second = self.ask("POST", "/api/v1/search", json.dumps(cursor).encode(), JSON)
        _check(_is_full(second.json, asked["limit"]), f"the second page is short: {second.body!r}")
        self._count("cursor read", first, second)
        rating = {"token": first.json["token"], "rating": self._chance.randint(1, 10)}
        rated = self.ask("POST", "/api/v1/feedback", json.dumps(rating).encode(), JSON, {200, 201})
        self._count("token read", first, rated)

    def _make_and_drop_collection(self) -> None:
        self._collections += 1
        name = f"{self._name}-{self._collections}"
        body = json.dumps({"name": name}).encode()
        made = self.ask("POST", "/api/v1/collections", body, JSON, {201}, {409})
        seed = next(self._seeds)
        _, form, headers = upload(seed)
        there = f"/api/v1/collections/{name}"
        stored = self.ask("POST", f"{there}/images", form, headers, {200, 201})
        self._count("collection seen", made, stored)
        asked = json.dumps({"query": "a tree", "collection": name}).encode()
        found = self.ask("POST", "/api/v1/search", asked, JSON)
        _check(len(found.json["hits"]) == 1, f"{len(found.json['hits'])} hits in {name}")
        self._count("collection seen", made, found)
        gone = self.ask("DELETE", there, expected={204}, or_if_repeated={404})
        self._count("drop seen", gone, self.ask("GET", there, expected={404}))
        self._count("drop seen", gone, self.ask("POST", "/api/v1/search", asked, JSON, {404}))

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        expected: Iterable[int] = (200,),
        or_if_repeated: Iterable[int] = (),
    ) -> Answer:
        """The answer, sent once more where a server died on it. Raises Fault.

        `or_if_repeated`: what tells that the first attempt did its work before the server died.
        """
        answer = self._send(method, path, body, headers or {}, is_repeated=False)
        if answer.status in OF_THE_DYING and self._visits.is_dying():
            with self._visits.lock:
                self._visits.repeated[f"{answer.status}"] += 1
            while self._visits.is_killing:  # its socket takes connections until it has gone
                time.sleep(RETRY_SECONDS)
            answer = self._send(method, path, body, headers or {}, is_repeated=True)
        right = {*expected, *(or_if_repeated if answer.is_repeated else ())}
        if answer.status not in right:
            said = answer.body[:300].decode(errors="replace")
            once_more = ", once more" if answer.is_repeated else ""
            raise Fault(f"{method} {path}{once_more}: {answer.status} by {answer.server}: {said}")
        return answer

    def _send(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str], *,
        is_repeated: bool,
    ) -> Answer:  # fmt: skip
        if self._connection is None:
            port = self._visits.port
            self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
        try:
            self._connection.request(method, path, body, headers)
            told = self._connection.getresponse()
            data = told.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            self._connection = None
            # HAProxy breaks off what had begun when the server died.
            return Answer(502, "nobody", repr(error).encode(), None, is_repeated)
        server = told.headers.get(SERVER_HEADER, "HAProxy")
        return Answer(told.status, server, data, told.headers.get("X-Search-Token"), is_repeated)

    def _count(self, what: str, first: Answer, second: Answer) -> None:
        """What one server did and another one knew."""
        if first.server != second.server:
            with self._visits.lock:
                self._visits.from_another[what] += 1


def _picture(seed: int) -> bytes:
    out = io.BytesIO()
    draw_picture(out, seed)
    return out.getvalue()


def _is_full(page: Any, limit: int) -> bool:
    """Whether it has so many hits, or says that another client has just deleted some of them."""
    is_short_of_deleted = "deleted_meanwhile" in [one["code"] for one in page["warnings"]]
    return len(page["hits"]) == limit or is_short_of_deleted


def _check(is_so: bool, otherwise: str) -> None:  # as assert
    if not is_so:
        raise Fault(otherwise)
