"""Two servers on one database and one disk, as behind a load balancer, and a second model."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
from PIL import Image
from safetensors.numpy import load_file, save_file

from app.settings import DEMO_MODEL_DIR, ROOT

START_SECONDS = 180  # a first start measures what computes fastest
LEASE_SECONDS = 4  # how long the work of a killed process waits
WEIGHTS = "open_clip_model.safetensors"
TEXT = "text_projection"
PICTURE_WEIGHT, PICTURE_BIAS = "visual.attnpool.c_proj.weight", "visual.attnpool.c_proj.bias"
BEND = 0.2  # of a text's vector is not turned as the pictures' are
SIZE = (320, 240)  # pixels of a generated picture


def draw_picture(out: Path | BinaryIO, seed: int) -> None:
    """A coarse pattern that no other seed gives."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize(SIZE, Image.Resampling.BICUBIC).save(out, "JPEG")


def draw_library(folder: Path, count: int) -> None:
    """Pictures of the seeds 0 to `count` - 1."""
    folder.mkdir()
    for seed in range(count):
        draw_picture(folder / f"{seed:06}.jpg", seed)


def turned_model(folder: Path) -> str:
    """Write the demo model with its vectors turned in space; returns the CLIP_MODEL that loads it.

    It has as many dimensions and is as fast. Yet a query of the one scores at random with pictures
    of the other, and all scores differ a little: a mixed answer is seen by its scores alone.
    """
    folder.mkdir()
    shutil.copy(DEMO_MODEL_DIR / "open_clip_config.json", folder)
    weights = load_file(DEMO_MODEL_DIR / WEIGHTS)
    random = np.random.default_rng(1)
    size = weights[TEXT].shape[1]
    turn, _ = np.linalg.qr(random.standard_normal((size, size)))
    bent = turn + BEND * random.standard_normal((size, size)) / np.sqrt(size)
    turned = {
        TEXT: weights[TEXT] @ bent,
        PICTURE_WEIGHT: turn.T @ weights[PICTURE_WEIGHT],  # shape (dimensions, width)
        PICTURE_BIAS: weights[PICTURE_BIAS] @ turn,
    }
    weights |= {name: np.ascontiguousarray(one, np.float16) for name, one in turned.items()}
    save_file(weights, folder / WEIGHTS)
    return f"local-dir:{folder}"


@dataclass
class Server:
    """One process of `make start` on loopback."""

    folder: Path
    database_url: str
    models: str
    worker: str
    further: Mapping[str, str] = field(default_factory=dict)
    """Settings besides."""
    port: int = field(init=False)
    _process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)

    def __post_init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    @property
    def log_file(self) -> Path:
        """What it printed."""
        return self.folder / f"server-{self.port}.log"

    def start(self) -> None:
        """Start it; `wait_until_ready` waits for it."""
        settings = {
            "TESTING": "1",
            "PRECISION": "fp32",  # scores of two processes are compared
            "ENV_FILE": os.devnull,
            "API_PORT": str(self.port),
            "DATABASE_URL": self.database_url,
            "COLLECTION_MODELS": self.models,
            "MAX_RESIDENT_MODELS": "2",
            "TEST_IMAGES_DIR": str(self.folder / "library"),
            "TEST_UPLOAD_DIR": str(self.folder / "uploads"),
            "THUMBNAIL_DIR": str(self.folder / "thumbnails"),
            "MODEL_CACHE_DIR": str(self.folder / "converted"),
            "LEASE_SECONDS": str(LEASE_SECONDS),
            "WORKER": self.worker,
            "SEARCH_RATE": "none",
            "UPLOAD_RATE": "none",
            **self.further,
        }
        kept = {name: value for name, value in os.environ.items() if name == "PATH"}
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(  # our own program
                [sys.executable, "-m", "app.main"],
                cwd=ROOT,
                env={**kept, **settings},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def wait_until_ready(self) -> None:
        """Until GET /readyz answers 200. Raises TimeoutError with the log."""
        deadline = time.monotonic() + START_SECONDS
        address = f"http://127.0.0.1:{self.port}/readyz"
        while time.monotonic() < deadline and self._process and self._process.poll() is None:
            with suppress(URLError, OSError):
                urlopen(address, timeout=START_SECONDS).close()  # our own address
                return
            time.sleep(0.2)
        raise TimeoutError(f"A server did not start:\n{self.log_file.read_text()}")

    def kill(self) -> None:
        """SIGKILL: it has no chance to tidy up."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def stop(self) -> None:
        """SIGTERM, and wait for its end."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait()
