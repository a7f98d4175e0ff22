"""Generated requests to a live server, by its own description: every answer is as described."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests
import schemathesis
import uvicorn
from fastapi import FastAPI
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis.strategies import SearchStrategy
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from app.assembly import Services
from app.main import create_app
from app.settings import Settings
from tests.drawing import png

EXAMPLES = 50  # of each route: valid ones, as many on what is there, half as many invalid ones
SLOW_EXAMPLES = 6  # where each makes a table, or compares models
SLOW = {"create_collection", "measure_recall", "tune"}
LAST = {"delete_image", "delete_images", "delete_collection"}  # they take away what others need
MAX_ADDRESS = 60_000  # characters; httptools has 65,536 for all of it
SECONDS = 30  # that one answer may take: a stream that never ends fails

CHECKS = [
    not_a_server_error,
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
]

Operation = Any  # schemathesis's, of OpenAPI


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """The application behind a socket on loopback, as its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        app.state.is_stopping = lambda: server.should_exit
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive()
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def address(settings: Settings, services: Services, worker: None) -> Iterator[str]:
    """A live server, whose queue is worked on: a job's events end with it."""
    with served(create_app(settings, services)) as url:
        yield url


@pytest.fixture(scope="module")
def known(address: str) -> dict[str, Any]:
    """What is there for requests to find, by the names of path parameters."""
    collections, images = f"{address}/api/v1/collections", f"{address}/api/v1/images"
    fields = {"place": "text", "stars": "number", "tags": "tags"}
    made = requests.post(
        collections, json={"name": "holidays", "fields": fields}, timeout=SECONDS
    )
    assert made.status_code == 201, made.text
    told = {"caption": "a pier", "metadata": '{"place": "Lisbon", "stars": 5, "tags": ["sea"]}'}
    jobs = []
    for where in ("default", "holidays"):
        files = [("files", (f"{seed}.png", png(seed))) for seed in range(4)]
        sent = requests.post(
            images, params={"collection": where}, files=files, data=told, timeout=SECONDS
        )
        assert sent.status_code == 202, sent.text
        jobs.append(sent.json()["job_id"])
        followed = requests.get(address + sent.json()["events_url"], timeout=SECONDS)
        assert '"state":"succeeded"' in followed.text
    listed = requests.get(f"{collections}/holidays/images", timeout=SECONDS).json()
    return {"image_id": listed["images"][0]["id"], "name": "holidays", "job_id": jobs[-1]}


@pytest.fixture(scope="module")
def operations(address: str, known: dict[str, Any]) -> list[Operation]:
    """All that the live server documents; those that delete come last."""
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
    found = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]
    return sorted(found, key=lambda operation: identified(operation) in LAST)


def identified(operation: Operation) -> str:
    name: str = operation.definition.raw["operationId"]
    return name


def is_sendable(case: "schemathesis.Case[Any]") -> bool:
    """Whether the address is short enough for uvicorn, which refuses a longer one in plain text."""
    address: str = requests.Request(**case.as_transport_kwargs()).prepare().url or ""
    return len(address) < MAX_ADDRESS


def test_every_documented_operation_answers_as_described(
    address: str, operations: list[Operation], known: dict[str, Any]
) -> None:
    import traceback
    from collections import Counter, defaultdict
    hist = defaultdict(Counter)
    found = {}
    took = {}
    with requests.Session() as session:
        def check(case):
            answer = case.call_and_validate(session=session, checks=CHECKS, timeout=SECONDS)
            hist[case.operation.label][answer.status_code] += 1
        for operation in operations:
            begun = time.monotonic()
            n = 0
            for case in operation.schema.iter_coverage_cases(operation, generation_modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE], generation_config=operation.schema.config.generation):
                n += 1
                if is_sendable(case):
                    try:
                        check(case)
                    except BaseException as error:
                        found.setdefault((operation.label, "coverage", str(error)[:300]), error)
            print(f"coverage {n} {time.monotonic() - begun:.1f} {operation.label}")
            begun = time.monotonic()
            count = SLOW_EXAMPLES if identified(operation) in SLOW else EXAMPLES
            there = {
                one.name: known[one.name] for one in operation.path_parameters if one.name in known
            }
            plans = [(GenerationMode.POSITIVE, {}, count)]
            if there:
                plans.append((GenerationMode.POSITIVE, there, count))
            if list(operation.iter_parameters()) or operation.body:
                plans.append((GenerationMode.NEGATIVE, {}, count))
                if there and (operation.query or operation.body):
                    plans.append((GenerationMode.NEGATIVE, there, count))
            for mode, path, many in plans:
                cases = operation.as_strategy(mode, path_parameters=path or None).filter(is_sendable)
                t = hypothesis_settings(
                    max_examples=many,
                    deadline=None,
                    derandomize=True,
                    suppress_health_check=list(HealthCheck),
                )(given(case=cases)(check))
                try:
                    t()
                except BaseException as error:
                    found[operation.label, mode.value] = error
            print(f"{time.monotonic() - begun:.1f} {operation.label} {dict(hist[operation.label])}")
    for name, error in found.items():
        print("=====", name)
        print("".join(traceback.format_exception(error))[-1500:])
    assert not found
