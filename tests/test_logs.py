"""Log lines: one each, whatever they tell of, with the id of the request."""

import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient
from starlette.requests import Request

from app import logs
from app.logs import LogFormat, LogLevel
from app.settings import ROOT
from app.web.middleware.request_metrics import RequestMetrics
from tests.fixtures.process_environment import PROCESS_SECONDS, bare

FORMATS: tuple[LogFormat, ...] = ("plain", "json")
CONFIGURE = "logs.configure('plain');"
EVIL = "cat\n2026-11-21 12:00:00 WARNING app.worker [-]: forged\r\n\x1b[31m\u2028\x85\x00.jpg"
LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [A-Z]+ [\w.]+ \[[\w.-]+\]: .*")
ENDS = re.compile(r"[\n\r\v\f\x1b\x1c-\x1e\x85\u2028\u2029]")

log = logging.getLogger("app.tests")
audit = logging.getLogger("audit")

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """The logging of the process as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in [one for one in root.handlers if one not in handlers]:
        root.removeHandler(handler)
    root.setLevel(level)
    for name in (logs.AUDIT, logs.OWN):
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.fixture
def client() -> TestClient:
    """An application whose routes log."""
    app = FastAPI()
    app.add_middleware(RequestMetrics)

    @app.exception_handler(Exception)
    def unexpected(request: Request, error: Exception) -> JSONResponse:
        log.error("%s failed", request.url.path, exc_info=error)
        return JSONResponse({"detail": "no"}, 500)

    @app.get("/on-a-thread")
    def on_a_thread(request: Request) -> str:
        log.warning("threaded")
        return str(request.state.request_id)

    @app.get("/on-the-loop")
    async def on_the_loop() -> None:
        log.warning("looped")

    @app.get("/broken")
    def broken() -> None:
        raise RuntimeError(EVIL)

    return TestClient(app)


def lines(captured: Captured) -> list[str]:
    """What was written to stderr, line by line."""
    written = captured.readouterr().err
    assert written.endswith("\n")
    return written.removesuffix("\n").split("\n")


def test_a_plain_line(capsys: Captured) -> None:
    logs.configure("plain")
    log.warning("%d files", 3)
    (line,) = lines(capsys)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d WARNING app.tests \[-\]: 3 files", line)


def test_a_json_line(capsys: Captured) -> None:
    logs.configure("json")
    log.warning("%d files", 3)
    (line,) = lines(capsys)
    told = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+\+00:00", told.pop("timestamp"))
    assert told == {
        "level": "WARNING", "logger": "app.tests", "message": "3 files", "request_id": None,
    }  # fmt: skip


def test_audit_records_are_told_with_what_they_are_about(capsys: Captured) -> None:
    extra = {"caller": "Łódź", "key_id": 7, "path": "/a b", "note": 'x"', "none": None, "empty": ""}
    logs.configure("plain")
    audit.info("upload", extra=extra)
    (plain,) = lines(capsys)
    assert plain.endswith(
        'INFO audit [-]: upload caller=Łódź key_id=7 path="/a b" note="x\\"" none=null empty=""'
    )
    logs.configure("json")
    audit.info("upload", extra=extra)
    (line,) = lines(capsys)
    told = json.loads(line)
    assert told["message"] == "upload"
    assert {name: told[name] for name in extra} == extra


def test_libraries_tell_of_warnings_alone(capsys: Captured) -> None:
    logs.configure("plain", "debug")
    logging.getLogger("a.library").info("chatter")
    audit.debug("chatter")
    assert capsys.readouterr().err == ""
    log.debug("ours")
    assert "DEBUG app.tests [-]: ours" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("level", "told"),
    [
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_the_level_is_the_least_that_is_told(
    level: LogLevel, told: list[str], capsys: Captured
) -> None:
    """Issue 20: LOG_LEVEL; the audit log is whole at any level."""
    logs.configure("plain", level)
    for name in ("debug", "info", "warning", "error"):
        getattr(log, name)(name)
    audit.info("upload")
    assert [line.rpartition(" ")[2] for line in lines(capsys)] == [*told, "upload"]


def test_a_terminal_is_told_of_warnings_alone(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its user sees a progress bar; a log file or a service manager is told of jobs."""
    logs.configure("plain")
    log.info("begun")
    assert "begun" in capsys.readouterr().err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    logs.configure("plain")
    log.info("begun")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("log_format", FORMATS)
def test_a_file_name_cannot_end_a_line(log_format: LogFormat, capsys: Captured) -> None:
    logs.configure(log_format)
    log.warning("%s is odd", EVIL)
    audit.info("upload", extra={"file": EVIL, "files": [EVIL], "by name": {EVIL: 1}})
    log.warning(EVIL)
    found = lines(capsys)
    assert len(found) == 3
    assert not [line for line in found if ENDS.search(line)]
    assert all("forged" in line for line in found)


def test_a_file_name_is_told_whole(capsys: Captured) -> None:
    logs.configure("json")
    audit.info("upload", extra={"file": EVIL})
    assert json.loads(lines(capsys)[0])["file"] == EVIL
    logs.configure("plain")
    audit.info("upload", extra={"file": EVIL})
    (line,) = lines(capsys)
    assert json.loads(line.partition("file=")[2]) == EVIL


@pytest.mark.parametrize("log_format", FORMATS)
def test_half_a_character_is_escaped(log_format: LogFormat, capsys: Captured) -> None:
    """Given to the handler itself: what pytest keeps of a log must be UTF-8."""
    logs.configure(log_format)
    (handler,) = [one for one in logging.getLogger().handlers if isinstance(one, logs._Stderr)]
    told = {"name": "app", "levelname": "WARNING", "msg": "\udcff.jpg"}
    handler.handle(logging.makeLogRecord(told))
    (line,) = lines(capsys)
    assert "\\udcff.jpg" in line


def raise_and_log() -> None:
    try:
        raise ValueError(EVIL)  # noqa: TRY301
    except ValueError:
        log.exception("no file")


def test_a_traceback_cannot_be_taken_for_records(capsys: Captured) -> None:
    logs.configure("plain")
    raise_and_log()
    first, *others = lines(capsys)
    assert LINE.fullmatch(first)
    assert len(others) >= 3
    assert all(line.startswith("  | ") for line in others)
    assert not [line for line in others if ENDS.search(line)]
    assert any("ValueError: cat" in line for line in others)


def test_a_traceback_is_a_part_of_the_object(capsys: Captured) -> None:
    logs.configure("json")
    raise_and_log()
    (line,) = lines(capsys)
    assert f"ValueError: {EVIL}" in json.loads(line)["exception"]


@pytest.mark.parametrize("log_format", FORMATS)
def test_configuring_again_doubles_nothing(log_format: LogFormat, capsys: Captured) -> None:
    logs.configure("plain")
    logs.configure("json")
    logs.configure(log_format)
    log.warning("once")
    assert capsys.readouterr().err.count("once") == 1


def test_the_server_logs_the_same_way(capsys: Captured) -> None:
    uvicorn.Config(FastAPI())  # with handlers of its own, as some test may have done before
    logs.configure("json")
    uvicorn.Config(FastAPI(), log_config=None, log_level="warning")
    logging.getLogger("uvicorn.error").error("Oh", extra={"color_message": "\x1b[31mOh"})
    logging.getLogger("uvicorn.access").info("GET /")
    (line,) = lines(capsys)
    told = json.loads(line)
    assert (told["logger"], told["message"]) == ("uvicorn.error", "Oh")
    assert "color_message" not in told


def test_an_id_of_the_client_is_kept(client: TestClient, capsys: Captured) -> None:
    logs.configure("plain")
    answer = client.get("/on-a-thread", headers={"X-Request-Id": "Abc-1.2_3"})
    assert answer.headers["x-request-id"] == answer.json() == "Abc-1.2_3"
    assert "WARNING app.tests [Abc-1.2_3]: threaded" in lines(capsys)[0]


def test_an_id_is_made_for_each_request(client: TestClient, capsys: Captured) -> None:
    logs.configure("json")
    made = [client.get(path).headers["x-request-id"] for path in ("/on-a-thread", "/on-the-loop")]
    assert all(re.fullmatch(r"[0-9a-f]{32}", one) for one in made)
    assert made[0] != made[1]
    assert [json.loads(line)["request_id"] for line in lines(capsys)] == made


@pytest.mark.parametrize(
    "hostile", [b"", b"a b", b"x" * 65, b"a\nb", b"abc\n", "ä".encode(), b"a]: forged", b"%0a"]
)
def test_a_hostile_id_is_replaced(client: TestClient, hostile: bytes) -> None:
    answer = client.get("/on-the-loop", headers={b"X-Request-Id": hostile})
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"])


def test_the_longest_id_is_kept(client: TestClient) -> None:
    assert client.get("/", headers={"X-Request-Id": "x" * 64}).headers["x-request-id"] == "x" * 64


def test_an_unexpected_error_is_answered_and_logged_with_the_id(
    client: TestClient, capsys: Captured
) -> None:
    logs.configure("json")
    answer = client.get("/broken", headers={"X-Request-Id": "mine"})
    assert (answer.status_code, answer.headers["x-request-id"]) == (500, "mine")
    (line,) = lines(capsys)
    told = json.loads(line)
    assert (told["request_id"], told["message"]) == ("mine", "/broken failed")
    assert "RuntimeError: cat" in told["exception"]


def test_an_address_without_a_route_has_an_id_too(client: TestClient) -> None:
    answer = client.post("/nowhere", headers={"X-Request-Id": "mine"})
    assert (answer.status_code, answer.headers["x-request-id"]) == (404, "mine")


@pytest.mark.parametrize("configured", [True, False])
def test_a_retry_of_the_hubs_library_is_one_line(*, configured: bool) -> None:
    """Its own handler printed each a second time, while a model was downloaded."""
    program = (
        "import logging; from app import logs;"
        f"{CONFIGURE if configured else ''}"
        "import app.encoders.torch_models.hub_files;"
        "logging.getLogger('huggingface_hub.utils._http').warning('Retrying in 1s [Retry 1/5].')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT, env=bare(), capture_output=True, text=True, timeout=PROCESS_SECONDS,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Retrying in 1s [Retry 1/5].") == 1
