"""A container of the image, tried as its users would: for `make test-container`."""

import json
import os
import subprocess
import time
from contextlib import suppress
from http.client import HTTPException
from typing import Any
from urllib.request import urlopen

from app.settings import ROOT
from scripts.server_requests import KEY, request, upload_request

START_SECONDS = 600  # the first start converts the model
PICTURE = ROOT / "data" / "test_images" / "green-tree.jpg"


class StepFailed(Exception):
    """What a container does is not what it should do."""


def output(*command: str) -> str:
    """What a command prints. Raises StepFailed with all that it printed where it fails."""
    done = subprocess.run(  # noqa: S603  # our own commands
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        told = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
        raise StepFailed(f"{' '.join(command)} ended with {done.returncode}:\n{told}")
    return done.stdout.strip()


def podman(*arguments: str) -> str:
    """What a podman command prints. Raises StepFailed."""
    return output("podman", *arguments)


def run_health_checks() -> None:
    """Run the checks of all containers, for ever, as podman has systemd do where that runs."""
    while True:
        for container in podman("ps", "--quiet").split():
            with suppress(StepFailed):  # an unhealthy one
                podman("healthcheck", "run", container)
        time.sleep(2)


def check(holds: object, told: str) -> None:
    """Raise StepFailed with the sentence unless it holds."""
    if not holds:
        raise StepFailed(told)


def create_key(*run: str) -> None:
    """Make an admin's key by the command that starts a container, and use it from now on."""
    named = ["--namespace", "default", "--role", "admin", "--name", "trial"]
    use_key(output(*run, "keys", "create", *named))


def use_key(printed: str) -> None:
    """Use the key that `keys create` has printed from now on."""
    os.environ[KEY] = next(line for line in printed.splitlines() if line.startswith("isk_"))


def wait_until_ready(address: str, pictures: int = 0) -> None:
    """Wait for the server to be ready and to find so many pictures. Raises StepFailed."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            if answer(address, "/readyz")["status"] == "ready" and count(address) >= pictures:
                return
        except (OSError, HTTPException):  # not there yet
            pass
        time.sleep(1)
    raise StepFailed(f"{address} was not ready within {START_SECONDS} s.")


def answer(address: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """The JSON of an answer, asked with the key."""
    with urlopen(request(f"{address}{path}", body), timeout=60) as found:  # noqa: S310  # ours
        return json.load(found)


def count(address: str) -> int:
    """How many pictures the default collection has."""
    found: int = answer(address, "/api/v1/collections/default")["image_count"]
    return found


def upload(address: str) -> int:
    """Upload a picture under a new name; its id."""
    data = PICTURE.read_bytes() + str(time.time_ns()).encode()  # after a JPEG's end: new bytes
    sent = upload_request(f"{address}/upload", "trial.jpg", data)
    with urlopen(sent, timeout=60) as found:  # noqa: S310  # ours
        (stored,) = json.load(found)
    check(stored["status"] == "stored", f"The upload was answered with {stored}.")
    image: int = stored["id"]
    return image


def search(address: str, image: int) -> list[int]:
    """The ids that a search by words finds, after a check that one by picture finds `image`."""
    body = {"query": [{"id": image}], "limit": 3}
    near = [hit["id"] for hit in answer(address, "/api/v1/search", body)["hits"]]
    check(near, f"Nothing is like picture {image}.")
    found = answer(address, "/search-by-text?query=a%20green%20tree&limit=4")
    check("tree" in found[0]["path"] or found[0]["id"] == image, f"Not a tree: {found[0]}")
    return [hit["id"] for hit in found]
