"""Rehearse a change of the model under load: `make rehearse-swap`.

Two servers on one database, eight clients that search without pause, an upload every second. The
model is changed, back, and changed again; the server that builds is killed in the middle of it.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from app.database.embedded.embedded_postgres import embedded_server
from app.database.embedded.postgres_programs import temporary_folder
from scripts.rehearsal import outcome
from scripts.rehearsal.clients import TEXTS, Balancer, Load, RequestFailed, all_scores
from scripts.rehearsal.servers import Server, draw_library, turned_model

COLLECTION = "/api/v1/collections/default"
BUILDER = 0  # the server with a worker
SETTLE_SECONDS = 4.0  # between two swaps
FOLLOW_SECONDS = 2.0  # within which all processes use the other generation
SLOWER = 2.0  # p95 while a generation is built, times that of before
POLL_SECONDS = 0.2
BUILD_SECONDS = 3_600  # within which anything must end


def main(
    pictures: Annotated[int, typer.Option(min=50, help="in the library")] = 5_000,
    clients: Annotated[int, typer.Option(min=1, help="that search without pause")] = 8,
    seconds: Annotated[float, typer.Option(min=1, help="of searches alone, to compare")] = 20,
) -> None:
    """Exit with 1 where a request failed, an answer was mixed, or a picture is missing."""
    with temporary_folder("rehearsal-") as folder, ExitStack() as stack:
        draw_library(folder / "library", pictures)
        url = stack.enter_context(embedded_server(folder / "postgres"))
        rehearsal = stack.enter_context(_served(folder, url))
        rehearsal.wait_for_pictures(pictures)
        try:
            with rehearsal.load.running(clients):
                rehearsal.run(seconds)
            rehearsal.check()
        except RequestFailed as error:
            rehearsal.faults.append(str(error))
    rehearsal.print_outcome()
    if rehearsal.faults:
        sys.exit(f"{len(rehearsal.faults)} faults.")


@contextmanager
def _served(folder: Path, url: str) -> Iterator["Rehearsal"]:
    model = turned_model(folder / "turned")
    servers = [Server(folder, url, model, worker) for worker in ("embedded", "none")]
    try:
        for server in servers:
            server.start()
            server.wait_until_ready()
        yield Rehearsal(servers, Load(Balancer([one.port for one in servers])), model)
    finally:
        for server in servers:
            server.stop()


@dataclass
class Rehearsal:
    """The servers, what the clients saw of them, and what was wrong."""

    servers: list[Server]
    load: Load
    model: str
    faults: list[str] = field(default_factory=list)
    figures: list[str] = field(default_factory=list)
    _references: dict[tuple[int, str], dict[int, float]] = field(default_factory=dict)

    @property
    def _balancer(self) -> Balancer:
        return self.load.balancer

    def wait_for_pictures(self, number: int) -> None:
        """Until the library is indexed."""
        began = time.monotonic()
        while self._generations()[-1]["vectors"] < number:
            _wait(began)
        self.figures.append(f"{number} pictures indexed in {time.monotonic() - began:.0f} s")

    def run(self, idle_seconds: float) -> None:
        """All of it, under load."""
        self.load.phase = "idle"
        time.sleep(idle_seconds)
        self._refer()
        first = self._active()
        second = self._build()
        self._swap(f"generations/{second}/activate", second)
        self._refer()
        self._swap("rollback", first)
        self._swap("rollback", second)
        self._refer()

    def _build(self) -> int:
        """Have another generation built, the builder being killed meanwhile; returns its id."""
        self.load.phase = "building"
        began = time.monotonic()
        job = self._balancer.post(f"{COLLECTION}/reindex", {"model": self.model})["url"]
        self._wait_for(job, lambda told: told["done"] * 2 >= told["total"] > 0)
        self._kill()
        self._wait_for(job, lambda told: told["finished_at"] is not None)
        self.figures.append(f"built in {time.monotonic() - began:.0f} s, a kill among them")
        ended = self._balancer.get(job)
        if ended["status"] != "succeeded":
            raise RequestFailed(f"The job ended as {ended['status']}: {ended['reason']}")
        (ready,) = [one for one in self._generations() if one["status"] == "ready"]
        self.figures.append(f"recall@10 {ready['recall']:.3f}, {ready['bytes']:,} bytes")
        return int(ready["id"])

    def _kill(self) -> None:
        self.load.phase = "restarting"
        self._balancer.expect_death(BUILDER)
        self.servers[BUILDER].kill()
        began = time.monotonic()
        self.servers[BUILDER].start()
        self.servers[BUILDER].wait_until_ready()
        self._balancer.put_back(BUILDER)
        self.figures.append(f"killed, and ready again after {time.monotonic() - began:.0f} s")
        self.load.phase = "building"

    def _swap(self, path: str, index_id: int) -> None:
        self.load.phase = "swapping"
        seen, began = len(self.load.replies), time.monotonic()
        told = self._balancer.post(f"{COLLECTION}/{path}")
        swapped = time.monotonic()
        if told["id"] != index_id:
            self.faults.append(f"{path} activated generation {told['id']}, not {index_id}")
        time.sleep(SETTLE_SECONDS)
        replies = self.load.replies[seen:]
        late = outcome.seconds_until_all_follow(replies, swapped, index_id)
        self.figures.append(
            f"{path}: answered in {swapped - began:.2f} s, all servers follow within {late:.2f} s"
        )
        if late > FOLLOW_SECONDS:
            self.faults.append(f"{path}: a server used the former generation after {late:.1f} s")

    def check(self) -> None:
        """Once the load has ended: every picture is in both generations."""
        began = time.monotonic()
        while any(one["missing"] for one in self._generations()):
            _wait(began)
        pictures = self._balancer.get(COLLECTION)["image_count"]
        for one in self._generations():
            if one["vectors"] != pictures:
                self.faults.append(f"{one['vectors']} of {pictures} in generation {one['id']}")
        self.faults += self.load.failures
        self.faults += outcome.mixed(self.load.replies, self._references)
        idle, building = (outcome.p95_ms(self.load.replies, one) for one in ("idle", "building"))
        if not building <= SLOWER * idle:
            self.faults.append(f"p95 while building is {building / idle:.1f} times that of before")
        self.figures.append(f"{pictures} pictures in both generations")

    def print_outcome(self) -> None:
        """The figures, and the first faults."""
        replies = self.load.replies
        print(*self.figures, sep="\n")
        for phase in ("idle", "building", "restarting", "swapping"):
            count = sum(reply.phase == phase for reply in replies)
            print(f"{phase:12}{count:8} searches, p95 {outcome.p95_ms(replies, phase):6.0f} ms")
        print(f"{self.load.uploaded} uploads")
        print(f"{self._balancer.repeated} requests that the kill cut off went to the other server")
        print(f"{len(self.load.failures)} requests failed")
        for fault in self.faults[:20]:
            print(f"FAULT: {fault}")

    def _refer(self) -> None:
        """Ask for all scores of the active generation."""
        for text in TEXTS:
            index_id, scores = all_scores(self._balancer, text)
            self._references.setdefault((index_id, text), {}).update(scores)

    def _active(self) -> int:
        (active,) = [one["id"] for one in self._generations() if one["status"] == "active"]
        return int(active)

    def _generations(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._balancer.get(f"{COLLECTION}/generations")["data"]
        return found

    def _wait_for(self, job: str, is_so: Any) -> None:
        began = time.monotonic()
        while not is_so(self._balancer.get(job)):
            _wait(began)


def _wait(began: float) -> None:
    if time.monotonic() - began > BUILD_SECONDS:
        raise RequestFailed(f"Not done within {BUILD_SECONDS} s.")
    time.sleep(POLL_SECONDS)


if __name__ == "__main__":
    typer.run(main)
