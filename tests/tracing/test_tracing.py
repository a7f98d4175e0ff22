"""OpenTelemetry beside the server, as in docs/operate.md, with a collector of the test's own."""

import re
import shlex
import shutil
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from app.database.embedded.postgres_programs import temporary_folder
from app.settings import ROOT
from tests.conftest import TEST_IMAGES
from tests.fixtures.web_server import Site, http, serving
from tests.test_start import Server, free_port

SECONDS = 60.0  # that spans may take to arrive
SAMPLER = {"OTEL_TRACES_SAMPLER": "parentbased_always_off"}  # of the page too
TRACE = "0af7651916cd43dd8448eb211c80319c"
PLAIN = "a green tree"


def documented() -> tuple[list[str], dict[str, str]]:
    """The packages and the variables of the page's example."""
    text = (ROOT / "docs" / "operate.md").read_text()
    (block,) = re.findall(r"^### Traces$.*?^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    words = shlex.split(block.replace("\\\n", ""), comments=True)
    packages = [name for option, name in pairwise(words) if option == "--with"]
    return packages, dict(word.split("=", 1) for word in words if word.startswith("OTEL_"))


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Those of an environment with OpenTelemetry, which sees this one's packages too."""
    venv = tmp_path_factory.mktemp("tracing-environment") / "venv"
    uv = str(Path(sysconfig.get_path("scripts")) / "uv")
    subprocess.run([uv, "venv", "--quiet", str(venv)], check=True)
    install = [uv, "pip", "install", "--quiet", "--python", str(venv / "bin" / "python")]
    locked = ["--constraint", str(ROOT / "requirements.lock")]
    subprocess.run([*install, *locked, *documented()[0]], check=True)
    packages = next((venv / "lib").glob("python*/site-packages"))
    (packages / "ours.pth").write_text(sysconfig.get_path("purelib"))
    return venv / "bin"


@pytest.fixture
def collector() -> Iterator[Site]:
    """Takes spans; `posted` has what was sent."""
    with serving() as site:
        site.answers["/v1/traces"] = http(200)
        yield site


@pytest.fixture
def server(programs: Path, collector: Site) -> Iterator[Server]:
    """A server with one picture, started by the documented command."""
    command = [programs / "opentelemetry-instrument", programs / "python", "-m", "scripts.launch"]
    variables = documented()[1]
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in variables
    variables["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{collector.port}"
    with temporary_folder("traced") as folder:
        (folder / "images").mkdir()
        shutil.copy(TEST_IMAGES / "green-tree.jpg", folder / "images")
        made = Server(
            folder,
            free_port(),
            [*map(str, command), "make start", "app.main:main"],
            TEST_IMAGES_DIR=str(folder / "images"),
            **variables,
            **SAMPLER,
        )
        try:
            made.wait_until_ready()
            yield made
        finally:
            made.end()


def test_a_request_is_traced_with_its_statements_and_without_its_words(
    server: Server, collector: Site
) -> None:
    address = f"http://127.0.0.1:{server.port}/search-by-text?limit=1&query=a+green+tree"
    asked = Request(address, headers={"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"})
    with urlopen(asked, timeout=SECONDS) as answer:
        assert answer.status == 200
    deadline = time.monotonic() + SECONDS
    while not (ours := [body for body in collector.posted if bytes.fromhex(TRACE) in body]):
        assert time.monotonic() < deadline, server.lines
        time.sleep(0.1)
    spans = b"".join(ours)
    assert b"GET /search-by-text" in spans
    assert b"FROM embeddings" in spans
    assert b"picture-search" in spans
    assert PLAIN.encode() not in spans
    assert ours == collector.posted  # nothing of what the server does by itself
