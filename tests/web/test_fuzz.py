"""Generated requests to a live server, by its own description: every answer is as described."""

import base64
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
from hypothesis.strategies import SearchStrategy, binary, one_of, sampled_from
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from schemathesis.transport.serialization import Binary

from app.main import create_app
from app.runtime.services import Services
from app.settings import Settings
from app.web.aliases import ALIAS_PREFIX
from app.web.routes import standing_searches
from tests.fixtures.drawn_pictures import png

EXAMPLES = 8  # of each route: valid ones, as many on what is there, a third as many invalid ones
ALIAS_EXAMPLES = 2  # of a second address of the same function
SLOW_EXAMPLES = 4  # where each makes a table, or compares models
SLOW = {"create_collection", "measure_recall", "tune_collection"}
FIRST = {"add_golden_query"}  # of a picture that others move and replace
# They take what others need, or rename it:
LAST = [
    "replace_golden_query",
    "delete_golden_query",
    "delete_standing_search",
    "delete_external_image",
    "delete_image",
    "delete_collection_images",
    "update_collection",
    "delete_collection",
]
SPARE = "letters"  # a collection for the last one
# Need many pictures, a job under way or of another kind, another generation, or a gate:
ONLY_REFUSED = {
    *("tune_collection", "cancel_job", "retry_job", "get_evaluation"),
    *("flag_labelled", "decide_review", "get_review_thumbnail"),
    "backfill_annotator",  # a dry run needs the extra ocr
    *("create_key", "list_keys", "revoke_key"),  # only for those who have one
    *("activate_generation", "delete_generation", "roll_back_collection", "evaluate_collection"),
}
FILES = {
    "upload": {"file": [Binary(png(1)), Binary(png(2))]},
    "upload_images": {"file": [Binary(png(1)), Binary(png(2))]},
    "put_external_image": {"file": Binary(png(3))},
    "import_images": {"files": [Binary(png(5))]},
    "import_golden_queries": {"file": Binary(b'{"text": "a pier"}')},
}
LABELS = {"labels": [{"name": "tree"}, {"name": "pier"}]}
BODIES: dict[str, dict[str, Any]] = {  # that are not met by chance, with None for the token
    "classify": {"image": base64.b64encode(png(1)).decode(), **LABELS},
    "create_feedback": {"token": None, "rating": 5},
    "create_legacy_feedback": {"jwt": None, "user_feedback": 5},
    "withdraw_feedback": {"token": None},
}
FORM = "multipart/form-data"
FILE_FIELDS = {"file", "files", "archive"}
EXTERNAL_ID = "sku-4711"
MALFORMED_ALONE = {"search_batch"}  # a malformed search is an outcome of the batch, which is 200
MAX_ADDRESS = 60_000  # characters; httptools has 65,536 for all of it
SECONDS = 120  # that one answer may take: a stream that never ends fails

CHECKS = [
    allow_header_conformance,
    not_a_server_error,
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
]

Operation = Any  # schemathesis's, of OpenAPI
Case = schemathesis.Case[Any]

schemathesis.openapi.format(
    "binary", one_of(sampled_from([png(seed) for seed in range(3)]), binary())
)


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
    with pytest.MonkeyPatch.context() as patched, served(create_app(settings, services)) as url:
        patched.setattr(standing_searches, "STREAM_SECONDS", 0.05)  # it has no end of its own
        yield url


@pytest.fixture(scope="module")
def known(address: str) -> dict[str, Any]:
    """What is there for requests to find, by the names of path parameters."""
    collections, images = f"{address}/api/v1/collections", f"{address}/api/v1/images"
    fields = {"place": "text", "stars": "number", "tags": "tags"}
    for name in ("holidays", SPARE):
        new: dict[str, Any] = {"name": name, "fields": fields}
        made = requests.post(collections, json=new, timeout=SECONDS)
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
        assert '"status":"succeeded"' in followed.text
    own = f"{collections}/holidays/images/by-external-id/{EXTERNAL_ID}"
    put = requests.put(own, files={"file": ("4.png", png(4))}, timeout=SECONDS)
    assert put.status_code == 201, put.text
    listed = requests.get(f"{collections}/holidays/images", timeout=SECONDS).json()
    generations = requests.get(f"{collections}/holidays/generations", timeout=SECONDS).json()
    golden = {"text": "a pier", "relevant": [listed["data"][0]["id"]]}
    added = requests.post(f"{collections}/holidays/golden-queries", json=golden, timeout=SECONDS)
    assert added.status_code == 201, added.text
    label_set = f"{collections}/holidays/label-sets/kind"
    assert requests.put(label_set, json=LABELS, timeout=SECONDS).ok
    standing = {"query": "a pier", "collection": "holidays"}
    kept = requests.post(f"{address}/api/v1/standing-searches", json=standing, timeout=SECONDS)
    assert kept.status_code == 201, kept.text
    answered = requests.get(f"{address}/search-by-text", {"query": "a pier"}, timeout=SECONDS)
    return {
        "image_id": listed["data"][0]["id"],
        "image_ids": [one["id"] for one in listed["data"]],
        "external_id": EXTERNAL_ID,
        "name": "holidays",
        "job_id": jobs[-1],
        "golden_query_id": added.json()["id"],
        "generation_id": generations["data"][0]["id"],
        "set": "kind",
        "annotator": "text",
        "search_id": kept.json()["id"],
        "key_id": 1,  # none: keys are made and revoked with a key alone
        "token": answered.headers["X-Search-Token"],
    }


@pytest.fixture(scope="module")
def operations(address: str, known: dict[str, Any]) -> list[Operation]:
    """All that the live server documents; those that delete come last."""
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
    found = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]
    return sorted(found, key=_turn)


def _turn(operation: Operation) -> int:
    name = named(operation).removeprefix(ALIAS_PREFIX)
    return LAST.index(name) if name in LAST else -1 - (name in FIRST)


def named(operation: Operation) -> str:
    name: str = operation.definition.raw["operationId"]
    return name


def is_alias(operation: Operation) -> bool:
    """Whether the same function is driven at its other address too."""
    return named(operation).startswith(ALIAS_PREFIX)


def is_sendable(case: Case) -> bool:
    """Whether it is sent as it was meant.

    A form holds texts and files: all else is sent as a text, or not at all. uvicorn refuses an
    address that is too long in plain text.
    """
    if case.media_type == FORM and isinstance(case.body, dict):
        texts = [value for name, value in case.body.items() if name not in FILE_FIELDS]
        if not all(isinstance(value, str) for value in texts):
            return False
    address: str = requests.Request(**case.as_transport_kwargs()).prepare().url or ""
    return len(address) < MAX_ADDRESS


def plans(
    operation: Operation, known: dict[str, Any]
) -> Iterator[tuple[SearchStrategy[Case], int]]:
    """Strategies, and how many requests each is good for: valid ones, and such as break a rule."""
    many = ALIAS_EXAMPLES if is_alias(operation) else EXAMPLES
    many = SLOW_EXAMPLES if named(operation) in SLOW else many
    there = {one.name: known[one.name] for one in operation.path_parameters}
    there = {"name": SPARE} if named(operation) == "delete_collection" else there
    yield operation.as_strategy(), many
    if there:
        yield operation.as_strategy(path_parameters=there), many
    if named(operation) in FILES:  # which the document cannot tell from other bytes
        form = FILES[named(operation)]
        yield operation.as_strategy(path_parameters=there, body=form, media_type=FORM), 1
    if named(operation) == "download_collection_images":  # it has none of most ids
        query = {"ids": known["image_ids"]}
        yield operation.as_strategy(path_parameters=there, query=query), 1
    if named(operation) == "add_golden_query":
        body = {"text": "a pier", "relevant": [known["image_id"]]}
        yield operation.as_strategy(path_parameters=there, body=body), 1
    if named(operation) in BODIES:  # no token but one of an answer will do
        body = BODIES[named(operation)]
        filled = {name: known["token"] if value is None else value for name, value in body.items()}
        yield operation.as_strategy(body=filled), 1
    if list(operation.iter_parameters()) or operation.body:
        yield operation.as_strategy(GenerationMode.NEGATIVE), max(many // 3, 2)
    if there and (operation.query or operation.body):
        yield (
            operation.as_strategy(GenerationMode.NEGATIVE, path_parameters=there),
            max(many // 3, 2),
        )


def drive(operation: Operation, known: dict[str, Any]) -> set[int]:
    """Send every bound of its parameters and body, then random requests; the statuses met.

    Raises what the checks find in the answers.
    """
    statuses = set()
    refused_alone = named(operation) in SLOW
    excluded: list[Any] = []
    if named(operation) in MALFORMED_ALONE:
        excluded.append(negative_data_rejection)
    with requests.Session() as session:

        def check(case: Case) -> None:
            answer = case.call_and_validate(
                session=session, checks=CHECKS, excluded_checks=excluded, timeout=SECONDS
            )
            statuses.add(answer.status_code)

        bounds = operation.schema.iter_coverage_cases(
            operation,
            generation_modes=[GenerationMode.NEGATIVE] if refused_alone else list(GenerationMode),
            generation_config=operation.schema.config.generation,
        )
        for case in () if is_alias(operation) else bounds:
            if is_sendable(case):
                check(case)
        for cases, many in plans(operation, known):
            limits = hypothesis_settings(
                max_examples=many,
                deadline=None,
                derandomize=True,
                suppress_health_check=list(HealthCheck),
            )
            limits(given(case=cases.filter(is_sendable))(check))()
    return statuses


def test_every_documented_operation_answers_as_described(
    address: str, operations: list[Operation], known: dict[str, Any]
) -> None:
    document = requests.get(f"{address}/openapi.json", timeout=SECONDS).json()
    documented = {
        (method, path) for path, methods in document["paths"].items() for method in methods
    }
    driven, unmet, faults = set(), set(), []
    for operation in operations:
        try:
            statuses = drive(operation, known)
        except FailureGroup as fault:  # the other operations are looked at too
            fault.add_note(operation.label)
            faults.append(fault)
        else:
            is_met = any(200 <= status < 400 for status in statuses)
            if not is_met and not is_alias(operation):
                unmet.add(named(operation))
        driven.add((operation.method, operation.path))
    if faults:
        raise BaseExceptionGroup("answers that are not as described", faults)
    assert driven == documented
    assert unmet <= ONLY_REFUSED


def test_a_body_that_is_no_utf8_is_a_problem(address: str, known: dict[str, Any]) -> None:
    for method, path in (
        ("POST", "/api/v1/search"),
        ("POST", "/api/v1/collections"),
        ("POST", "/api/v1/images"),
        ("PATCH", f"/api/v1/images/{known['image_id']}"),
    ):
        answer = requests.request(
            method,
            address + path,
            data=b'{"query": "\xff"}',
            headers={"Content-Type": "application/json"},
            timeout=SECONDS,
        )
        assert answer.status_code in {400, 422}, path
        assert answer.headers["content-type"] == "application/problem+json", path


def test_a_refused_method_is_told_all_that_the_address_takes(
    address: str, known: dict[str, Any]
) -> None:
    for path, methods in (
        ("/images/1", "DELETE, GET, HEAD"),
        ("/api/v1/collections", "GET, HEAD, POST"),
    ):
        answer = requests.put(address + path, timeout=SECONDS)
        assert (answer.status_code, answer.headers["allow"]) == (405, methods), path
