"""Build the image and run it: `make test-container`. Says which steps ran, and which could not.

Needs root, Debian, and from it PROGRAMS; it pulls no image. The base is
made of this machine's own Debian, with its certificate authorities, unless `BASE` names one. What
pip and uv are told on this machine, the build is told too, as secrets.
"""

import os
import resource
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from scripts.command_line import run_command
from scripts.container_trial import (
    StepFailed,
    check,
    count,
    create_key,
    output,
    podman,
    run_health_checks,
    search,
    upload,
    use_key,
    wait_until_ready,
)

PROGRAMS = ("mmdebstrap", "buildah", "podman", "runc", "catatonit", "netavark", "aardvark-dns")
PLACES = f"{os.environ['PATH']}:/usr/lib/podman"  # the last holds podman's own
IMAGE = "localhost/picture-search-trial"
MADE_BASE = f"{IMAGE}-base"
DATABASE = f"{IMAGE}-database"
NAME = "picture-search-trial"
PORT = 18_473
ADDRESS = f"http://127.0.0.1:{PORT}"
USER = "10001"  # of the Containerfile
PICTURES = 295  # that are bundled
MOST_PROCESSES = 4_096  # of a user in a container
MOST_BYTES = 1_600_000_000  # of an image with torch's small build
COMPOSE = "podman-compose==1.6.0"
SYSTEMD = Path("/run/systemd/system")  # podman has it run health checks
AUTHORITIES = Path("/usr/local/share/ca-certificates")
PIP_FILES = (Path("/etc/pip.conf"), Path.home() / ".config/pip/pip.conf")
UV_FILES = (Path.home() / ".config/uv/uv.toml", Path("/etc/uv/uv.toml"))
EXCLUDED = ("doc", "man", "locale")  # of /usr/share, as slim bases leave out
ONLY_TORCH_NEEDS = (
    *("torch", "torchgen", "functorch", "torchvision", "torchvision.libs", "triton", "nvidia"),
    *("cuda", "timm", "sympy", "mpmath", "networkx"),
)


def main() -> None:
    """Try the steps up to the first that fails; the exit status is 0 where none can run."""
    missing = [program for program in PROGRAMS if shutil.which(program, path=PLACES) is None]
    if missing or os.geteuid() != 0:
        why = f"apt-get install {' '.join(missing)}" if missing else "it needs root"
        print(f"Not run: {why}.")
        return
    with TemporaryDirectory() as folder:
        steps = Trial(Path(folder)).steps()
        while steps and _runs(steps[0]):
            steps.pop(0)
        _remove()
    if steps:
        rest = ", ".join(_name(step) for step in steps[1:]) or "none"
        sys.exit(f"Steps after it that were not run: {rest}.")


def _name(step: Callable[[], str]) -> str:
    return step.__name__.replace("_", " ")


def _runs(step: Callable[[], str]) -> bool:
    began = time.monotonic()
    try:
        told = step()
    except (StepFailed, OSError) as error:
        print(f"FAILED  {_name(step)}: {error}", flush=True)
        return False
    print(f"ran     {_name(step)} ({time.monotonic() - began:.0f} s): {told}", flush=True)
    return True


class Trial:
    """The steps in order; each returns what it found, and needs those before it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.image = 0  # the picture that is uploaded
        self.found: list[int] = []
        os.environ["CONTAINERS_CONF"] = str(_configuration(folder))

    def steps(self) -> list[Callable[[], str]]:
        """All of them."""
        made = [self.base, self.build, self.size]
        single = [self.run_read_only, self.upload_and_search, self.restart, self.kill]
        further = [self.start_without_torch, self.stop]
        composed = [self.compose_up, self.upload_and_search, self.compose_kill, self.compose_down]
        return [*made, *single, *further, *composed]

    def base(self) -> str:
        """A base like python:slim, unless BASE names one or an earlier run made it."""
        if os.environ.get("BASE"):
            return f"{os.environ['BASE']}, as BASE says"
        if not podman("images", "--quiet", MADE_BASE):
            self._make_base()
        return f"{_megabytes(MADE_BASE)} MB, made by mmdebstrap"

    def _make_base(self) -> None:
        codename = output("sh", "-c", ". /etc/os-release; echo $VERSION_CODENAME")
        lists = [*Path("/etc/apt").glob("sources.list"), *Path("/etc/apt").glob("sources.list.d/*")]
        hooks = [
            f'cp -r {AUTHORITIES}/. "$1{AUTHORITIES}"',
            'chroot "$1" update-ca-certificates >/dev/null',
        ]
        output(
            *("mmdebstrap", "--quiet", "--variant=minbase"),
            "--include=python3,python3-venv,ca-certificates",
            *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in EXCLUDED),
            *(f"--customize-hook={hook}" for hook in hooks if AUTHORITIES.is_dir()),
            *(codename, str(self.folder / "base.tar")),
            *(str(path) for path in lists if path.suffix in {".list", ".sources"}),
        )
        podman("import", "--quiet", str(self.folder / "base.tar"), MADE_BASE)

    def build(self) -> str:
        """By buildah, with TORCH_BACKEND and EXTRAS as of `make build`."""
        given = {
            name: os.environ[name] for name in ("TORCH_BACKEND", "EXTRAS") if name in os.environ
        }
        given["BASE"] = os.environ.get("BASE") or MADE_BASE
        arguments = [f"--build-arg={name}={value}" for name, value in given.items()]
        cache = os.environ.get("UV_CACHE_DIR")
        mounts = [f"--volume={cache}:/root/.cache/uv:rw"] if cache else []
        output(
            *(
                "buildah",
                "build",
                "--format=docker",
                "--layers",
                "--network=host",
                f"--tag={IMAGE}",
            ),
            *(*arguments, *mounts, *self._secrets(), "."),
        )
        output(
            *("buildah", "build", "--format=docker", "--layers", f"--tag={DATABASE}"),
            *(
                f"--build-arg=IMAGE={IMAGE}",
                "--file=tests/container/database.Containerfile",
                "tests/container",
            ),
        )
        return f"{IMAGE}, with {' '.join(f'{name}={value}' for name, value in given.items())}"

    def _secrets(self) -> list[str]:
        uv = next(filter(Path.exists, UV_FILES), None)
        if uv is None and AUTHORITIES.is_dir():
            uv = self.folder / "uv.toml"
            uv.write_text("system-certs = true\n")
        pip = next(filter(Path.exists, PIP_FILES), None)
        files = {"pip.conf": pip, "uv.toml": uv}
        return [f"--secret=id={name},src={file}" for name, file in files.items() if file]

    def size(self) -> str:
        """Of the image, and of it without what a start from converted models does not read."""
        command = "cd /opt/venv/lib/python3*/site-packages && du -cbs "
        command += f"{' '.join(ONLY_TORCH_NEEDS)} 2>/dev/null | tail -1 | cut -f1"
        printed = podman("run", "--rm", "--entrypoint=sh", IMAGE, "-c", command)
        of_torch = int(printed) // 10**6
        whole = _megabytes(IMAGE)
        told = f"{whole} MB, without torch and what only it needs {whole - of_torch} MB"
        if os.environ.get("TORCH_BACKEND", "cpu") != "cpu":
            return f"{told}; the limit is for TORCH_BACKEND=cpu"
        check(whole * 10**6 <= MOST_BYTES, f"{told}; the limit is {MOST_BYTES // 10**6} MB")
        return told

    def run_read_only(self) -> str:
        """One container with the demo, its embedded Postgres and an admin's key."""
        _remove()
        create_key("podman", "run", "--rm", *_options(), IMAGE)
        podman("run", "--detach", "--name", NAME, *_options(), IMAGE)
        wait_until_ready(ADDRESS, PICTURES)
        check(podman("exec", NAME, "id", "-u") == USER, f"Its user is not {USER}.")
        tried = podman("exec", NAME, "sh", "-c", "touch /x /opt/venv/x 2>&1 || true")
        check(tried.count("Read-only file system") == 2, f"Its root can be written: {tried}")
        podman("healthcheck", "run", NAME)
        return f"user {USER}, root read-only, healthy, {count(ADDRESS)} pictures indexed"

    def upload_and_search(self) -> str:
        """A picture is uploaded and found."""
        self.image = upload(ADDRESS)
        self.found = search(ADDRESS, self.image)
        return f"picture {self.image}; a search by words finds {self.found}"

    def restart(self) -> str:
        """The same answers after a restart."""
        podman("restart", "--time=30", NAME)
        return self._same()

    def kill(self) -> str:
        """The same answers after SIGKILL of all its processes."""
        podman("kill", "--signal=KILL", NAME)
        podman("wait", NAME)
        podman("start", NAME)
        return self._same()

    def _same(self) -> str:
        wait_until_ready(ADDRESS, PICTURES + 1)
        found = search(ADDRESS, self.image)
        check(found == self.found, f"{self.found} were found, and now {found}.")
        return f"{count(ADDRESS)} pictures, the same answer"

    def start_without_torch(self) -> str:
        """A start reads the models that an earlier one has converted: torch is hidden from it."""
        _remove(volumes=False)
        torch = podman(
            "run",
            "--rm",
            "--entrypoint=sh",
            IMAGE,
            "-c",
            "echo /opt/venv/lib/*/site-packages/torch",
        )
        hidden = ("--tmpfs", f"{torch}:ro,mode=000")
        podman("run", "--detach", "--name", NAME, *hidden, *_options(), IMAGE)
        return self._same()

    def stop(self) -> str:
        """STOPSIGNAL ends it by itself, before podman would kill it."""
        began = time.monotonic()
        podman("stop", "--time=60", NAME)
        status = podman("inspect", "--format={{.State.ExitCode}}", NAME)
        check(status in {"0", "143"}, f"It ended with {status}, and 143 is SIGTERM's.")
        _remove()
        return f"after {time.monotonic() - began:.0f} s, with status {status}"

    def compose_up(self) -> str:
        """`make run`: Postgres, the first key, the server and a worker, each in a container."""
        uvx = f"{Path(sys.executable).with_name('uv')} tool run --from {COMPOSE} podman-compose"
        here = {"COMPOSE": uvx, "IMAGE": IMAGE, "POSTGRES_IMAGE": DATABASE, "PORT": str(PORT)}
        os.environ.update({**here, "TESTING": "1", "COMPOSE_PROJECT_NAME": NAME})
        if not SYSTEMD.is_dir():
            threading.Thread(target=run_health_checks, daemon=True).start()
        use_key(output("make", "run"))
        wait_until_ready(ADDRESS, PICTURES)
        return f"{count(ADDRESS)} pictures indexed by the worker, {DATABASE} as Postgres"

    def compose_kill(self) -> str:
        """Server, worker and Postgres are killed, and go on where they were."""
        for service in ("app", "worker", "database"):
            podman("kill", "--signal=KILL", f"{NAME}_{service}_1")
        output("make", "run")
        return self._same()

    def compose_down(self) -> str:
        """`make down` leaves no container, and the volumes with the data."""
        output("make", "down")
        left = podman("ps", "--all", "--quiet", f"--filter=name={NAME}")
        check(not left, f"Containers are left: {left}")
        volumes = podman("volume", "ls", "--quiet", f"--filter=name={NAME}").split()
        check(len(volumes) >= 3, f"Volumes are gone: {volumes}")
        podman("volume", "rm", *volumes)
        return f"no container is left, {len(volumes)} volumes were"


def _configuration(folder: Path) -> Path:
    """What podman and buildah are told: runc, netavark, and limits that this process may set."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    limits = [f"nofile={files}:{files}", f"nproc={MOST_PROCESSES}:{MOST_PROCESSES}"]
    path = folder / "containers.conf"
    listed = ", ".join(f'"{limit}"' for limit in limits)
    path.write_text(
        f"[containers]\ndefault_ulimits = [{listed}]\n"
        '[engine]\nruntime = "runc"\n'
        '[network]\nnetwork_backend = "netavark"\n'  # CNI's plugins alone resolve no names
    )
    return path


def _options() -> list[str]:
    """How a container is run alone: as in compose.yaml, with the demo."""
    volumes = [f"--volume={NAME}-{name}:/{name}" for name in ("data", "models")]
    safe = ["--read-only", "--tmpfs=/tmp", "--cap-drop=all", "--security-opt=no-new-privileges"]
    return [*safe, *volumes, f"--publish=127.0.0.1:{PORT}:8000", "--env=TESTING=1"]


def _remove(*, volumes: bool = True) -> None:
    """Whatever a trial has left, of compose too."""
    named = f"--filter=name={NAME}"
    podman("rm", "--force", "--ignore", NAME, *podman("ps", "--all", "--quiet", named).split())
    if volumes:
        for kind in ("volume", "network"):
            for name in podman(kind, "ls", "--quiet", named).split():
                podman(kind, "rm", "--force", name)


def _megabytes(image: str) -> int:
    return int(podman("image", "inspect", "--format={{.Size}}", image)) // 10**6


if __name__ == "__main__":
    run_command(main)
