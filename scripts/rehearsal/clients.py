"""Clients of the rehearsal: searches without pause and uploads, through a balancer.

The balancer does what those before real servers do: it takes a server out when a connection fails,
asks another one, and is told when it is back.
"""

import http.client
import io
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from scripts.rehearsal.servers import draw_picture

TEXTS = (
    *("a green tree", "a red car", "a blue house with a door", "a yellow sun over the sea"),
    *("two black cats on a wall", "a white ship at night", "an orange balloon", "a brown dog"),
)
HITS = 10  # of an answer
PAGE = 1_000  # hits of a reference's page
UPLOAD_SECONDS = 1.0  # between two uploads
ANSWER_SECONDS = 60
JSON = {"Content-Type": "application/json"}
FIRST_UPLOAD = 10_000_000  # its seed: beyond those of the library


class RequestFailed(Exception):
    """A client was not answered as it should be."""


@dataclass(frozen=True)
class Reply:
    """One answer: when it was asked for (of the monotonic clock), by whom it was given, and hits.

    `hits` are scores by the pictures' ids.
    """

    began: float
    seconds: float
    phase: str
    server: int
    text: str
    index_id: int
    fingerprint: str
    hits: Mapping[int, float]


@dataclass
class Balancer:
    """Sends requests to the servers in turn; any thread may call."""

    ports: Sequence[int]
    repeated: int = 0
    """Requests whose connection failed and that another server answered."""
    _out: set[int] = field(default_factory=set)
    _may_fail: set[int] = field(default_factory=set)
    _lives: Counter[int] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _own: threading.local = field(default_factory=threading.local)

    def expect_death(self, server: int) -> None:
        """From now on connections to it may fail."""
        self._may_fail.add(server)

    def put_back(self, server: int) -> None:
        """It is ready again; connections to its former process are used no more."""
        with self._lock:
            self._lives[server] += 1
            self._out.discard(server)
            self._may_fail.discard(server)

    def ask(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, Any]:
        """The server that answered, and the JSON of its answer. Raises RequestFailed."""
        while True:
            server = self._next()
            try:
                return server, self._send(server, method, path, body, headers)
            except (OSError, http.client.HTTPException) as error:
                self._connections().pop(self._life(server), None)
                if server not in self._may_fail:
                    raise RequestFailed(f"{method} {path}: {error!r}") from error
                with self._lock:
                    self._out.add(server)
                    self.repeated += 1

    def _next(self) -> int:
        there = [server for server in range(len(self.ports)) if server not in self._out]
        return there[self._counted() % len(there)]

    def _counted(self) -> int:
        self._own.count = getattr(self._own, "count", random.randrange(len(self.ports))) + 1  # noqa: S311  # where to begin
        count: int = self._own.count
        return count

    def _forget_connections(self) -> None:
        """For those who ask now and then: a server closes what is idle for long."""
        for connection in self._connections().values():
            connection.close()
        self._connections().clear()

    def _life(self, server: int) -> tuple[int, int]:
        return server, self._lives[server]

    def _connections(self) -> dict[tuple[int, int], http.client.HTTPConnection]:
        """Those of this thread, by server and how often it has come back."""
        self._own.connections = getattr(self._own, "connections", {})
        found: dict[tuple[int, int], http.client.HTTPConnection] = self._own.connections
        return found

    def _send(
        self, server: int, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Any:
        kept = self._connections()
        life = self._life(server)
        if life not in kept:
            port = self.ports[server]
            kept[life] = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
        kept[life].request(method, path, body, dict(headers))
        answer = kept[life].getresponse()
        data = answer.read()
        if not 200 <= answer.status < 300:
            raise RequestFailed(f"{method} {path}: {answer.status} {data[:300].decode()}")
        return json.loads(data) if data else None

    def get(self, path: str) -> Any:
        """The answer to GET."""
        self._forget_connections()
        return self.ask("GET", path, None, {})[1]

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The answer to POST with a JSON body."""
        self._forget_connections()
        return self.ask("POST", path, json.dumps(body or {}).encode(), JSON)[1]


@dataclass
class Load:
    """What the clients saw. `phase` names what the rehearsal does just now."""

    balancer: Balancer
    phase: str = "start"
    replies: list[Reply] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    uploaded: int = 0

    @contextmanager
    def running(self, clients: int, *, is_uploading: bool = True) -> Iterator[None]:
        """So many clients search, and one uploads if so told."""
        stop = threading.Event()
        tasks: list[Callable[[], None]] = [self._searcher(seed, stop) for seed in range(clients)]
        if is_uploading:
            tasks.append(lambda: self._upload(stop))
        threads = [threading.Thread(target=task) for task in tasks]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def _searcher(self, seed: int, stop: threading.Event) -> Callable[[], None]:
        def search() -> None:
            chance = random.Random(seed)  # noqa: S311  # not a secret
            while not stop.is_set():
                try:
                    self.replies.append(self._search(chance))
                except RequestFailed as error:
                    self.failures.append(str(error))

        return search

    def _search(self, chance: random.Random) -> Reply:
        text, phase, began = chance.choice(TEXTS), self.phase, time.monotonic()
        asked = {"query": in_other_letters(text, chance), "limit": HITS}
        server, told = self.balancer.ask("POST", "/api/v1/search", json.dumps(asked).encode(), JSON)
        seconds = time.monotonic() - began
        hits = {hit["id"]: hit["score"] for hit in told["hits"]}
        about = (text, told["index_id"], told["fingerprint"])
        return Reply(began, seconds, phase, server, *about, hits)

    def _upload(self, stop: threading.Event) -> None:
        while not stop.wait(UPLOAD_SECONDS):
            try:
                path, body, headers = upload(FIRST_UPLOAD + self.uploaded)
                self.balancer.ask("POST", path, body, headers)
                self.uploaded += 1
            except RequestFailed as error:
                self.failures.append(str(error))


def in_other_letters(text: str, chance: random.Random) -> str:
    """The text in capitals and small letters by chance.

    Its vector is the same, since tokenizers of CLIP ignore the case; yet no cache knows the text.
    """
    return "".join(chance.choice((one.upper(), one.lower())) for one in text)


def upload(seed: int) -> tuple[str, bytes, dict[str, str]]:
    """The path, body and headers of a request that uploads a drawn picture."""
    out = io.BytesIO()
    draw_picture(out, seed)
    boundary = "part-of-a-form"
    head = (
        f"--{boundary}\r\nContent-Disposition: form-data; "
        f'name="file"; filename="{seed}.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    )
    body = head.encode() + out.getvalue() + f"\r\n--{boundary}--\r\n".encode()
    return "/upload", body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def all_scores(balancer: Balancer, text: str) -> tuple[int, dict[int, float]]:
    """The active index, and the score of every picture for a text."""
    asked: dict[str, Any] = {"query": text, "limit": PAGE}
    scores: dict[int, float] = {}
    while True:
        told = balancer.post("/api/v1/search", asked)
        scores |= {hit["id"]: hit["score"] for hit in told["hits"]}
        if not told.get("next_cursor"):
            return told["index_id"], scores
        asked = {"cursor": told["next_cursor"]}
