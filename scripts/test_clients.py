"""Generate clients from the OpenAPI document and use them on a live server: `make test-clients`.

The generators' versions are pinned here and in tests/clients/package.json; they are installed into
`.clients`, apart from the project's own dependencies. Without node the TypeScript clients and the
linter are left out, and that is said.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from app.database.embedded.postgres_programs import temporary_folder
from app.settings import ROOT

TRIALS = ROOT / "tests" / "clients"
FOLDER = ROOT / ".clients"
PYTHON_GENERATOR = "openapi-python-client==0.29.1"
PICTURES = [
    str(ROOT / "data" / "test_images" / name) for name in ("green-tree.jpg", "bear.tif", "bus.webp")
]
OF_TYPESCRIPT = str(ROOT / "data" / "test_images" / "cat.jpg")
START_SECONDS = 120
OPENAPI_TYPESCRIPT = [
    *("openapi-typescript", "openapi.json", "-o", "schema.d.ts"),
    "--default-non-nullable=false",  # else what has a default would have to be sent
]
HEY = ["@hey-api/openapi-ts", "-i", "openapi.json", "-o", "hey", "--no-log-file"]


def main() -> None:
    """Exit with a sentence where a generator warns, or a client does not do what it should."""
    FOLDER.mkdir(exist_ok=True)
    has_node = shutil.which("npm") is not None
    try:
        python = _install_python()
        if has_node:
            _install_node()
        with _served() as address:
            with urlopen(f"{address}/openapi.json") as answer:  # noqa: S310  # our own address
                (FOLDER / "openapi.json").write_bytes(answer.read())
            _try_python(python, address)
            if has_node:
                _lint()
                _try_typescript(address)
    except subprocess.CalledProcessError as error:
        sys.exit(f"{' '.join(map(str, error.cmd))} failed:\n{error.stdout}")
    if not has_node:
        print("No npm: the linter and the TypeScript clients were left out. apt-get install npm")


def _run(*command: str | Path) -> str:
    """The output of a command in the folder. Raises CalledProcessError with it."""
    found = subprocess.run(  # noqa: S603  # our own commands
        command,
        cwd=FOLDER,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    return found.stdout


def _install_python() -> Path:
    """The Python of an environment with the generator, which has what its clients need too."""
    python = FOLDER / "python" / "bin" / "python"
    uv = Path(sys.executable).parent / "uv"
    if not python.exists():
        _run(uv, "venv", "--quiet", "--python", sys.executable, FOLDER / "python")
    _run(uv, "pip", "install", "--quiet", "--python", python, PYTHON_GENERATOR)
    return python


def _install_node() -> None:
    package = FOLDER / "package.json"
    wanted = (TRIALS / "package.json").read_text()
    if not package.exists() or package.read_text() != wanted:
        package.unlink(missing_ok=True)
        shutil.copy(TRIALS / "package.json", package)
        try:
            _run("npm", "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock")
        except subprocess.CalledProcessError:
            package.unlink()  # so that the next run installs again
            raise


@contextmanager
def _served() -> Iterator[str]:
    """The address of a server of our own with the demo model and no pictures."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with temporary_folder("clients-") as folder:
        (folder / "pictures").mkdir()
        settings = {
            "TESTING": "1",
            "ENV_FILE": os.devnull,
            "API_PORT": str(port),
            "POSTGRES_DIR": str(folder / "postgres"),
            "TEST_IMAGES_DIR": str(folder / "pictures"),
            "TEST_UPLOAD_DIR": str(folder / "uploads"),
            "THUMBNAIL_DIR": str(folder / "thumbnails"),
        }
        server = subprocess.Popen(
            [sys.executable, "-m", "app.main"],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], **settings},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait_for(f"http://127.0.0.1:{port}/readyz", server)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait()


def _wait_for(address: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urlopen(address).close()  # noqa: S310  # our own address
        except URLError:
            time.sleep(0.2)
        else:
            return
    sys.exit("The server did not start.")


def _try_python(python: Path, address: str) -> None:
    generator = python.parent / "openapi-python-client"
    shutil.rmtree(FOLDER / "image-search-client", ignore_errors=True)
    _run(
        *(generator, "generate", "--path", "openapi.json", "--fail-on-warning"),
        *("--config", TRIALS / "openapi_python_client.yaml"),
        *("--output-path", "image-search-client"),
    )
    use = (TRIALS / "use_python_client.py").read_text()
    (FOLDER / "image-search-client" / "use.py").write_text(use)
    _run(python, "image-search-client/use.py", address, *PICTURES)
    print("openapi-python-client: generated without a warning; uploads, searches, pages, rates")


def _lint() -> None:
    """Raise SystemExit unless Redocly's linter finds neither an error nor a warning."""
    told = _run("npx", "redocly", "lint", "openapi.json", "--format=json")
    totals = json.loads(told[told.index('{\n  "totals"') :].rpartition("}")[0] + "}")["totals"]
    if totals["errors"] or totals["warnings"]:
        sys.exit(told)
    print("redocly lint: 0 errors, 0 warnings")


def _try_typescript(address: str) -> None:
    for name in ("tsconfig.json", "use_typescript_client.ts"):
        shutil.copy(TRIALS / name, FOLDER / name)
    for generated in ("hey", "out"):
        shutil.rmtree(FOLDER / generated, ignore_errors=True)
    told = _run("npx", *OPENAPI_TYPESCRIPT)
    told += _run("npx", *HEY)
    if "warn" in told.lower():
        sys.exit(told)
    _run("npx", "tsc")
    _run("node", "out/use_typescript_client.js", address, OF_TYPESCRIPT)
    print("openapi-typescript, @hey-api/openapi-ts: type-checked; uploads, searches, pages, rates")


if __name__ == "__main__":
    main()
