"""Thumbnails beside the hits, in terminals that say that they show pictures (issue 20)."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

import pytest

from app.ingest.upload_stages import Upload
from app.runtime.services import Services
from app.settings import ROOT, Settings
from tests.conftest import TEST_IMAGES
from tests.fixtures.process_environment import PROCESS_SECONDS, bare
from tests.fixtures.served_application import served

SIZE = struct.pack("HHHH", 24, 80, 800, 480)  # rows, columns, pixels
OWN = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
"""In Python: makes the standard input the terminal of this process, as for a shell."""
RUN = "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
IN_FRONT = OWN + RUN
PIPED = OWN + """os.execvp("sh", ["sh", "-c", '"$0" "$@" | cat', sys.executable, *sys.argv[1:]])"""
IN_BACKGROUND = (
    OWN
    + f"""
child = os.fork()
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
os.setpgid(0, 0)
{RUN}"""
)
NOBODY = 1  # a port on which nothing listens
ATTRIBUTES, GRAPHICS = b"\x1b[c", b"\x1b_G"  # what terminals are asked
KITTY = {ATTRIBUTES: b"\x1b[?62c", GRAPHICS: b"\x1b_Gi=1;OK\x1b\\"}
SIXEL = {ATTRIBUTES: b"\x1b[?62;4c"}
PLAIN = {ATTRIBUTES: b"\x1b[?62c"}
PLACEHOLDER = "\U0010eeee".encode()  # of kitty's: where a picture appears

Answers = Mapping[bytes, bytes]
Command = Callable[..., bytes]


@pytest.fixture
def command(services: Services, settings: Settings) -> Iterator[Command]:
    """`picture-search` in a terminal that answers so; all that it writes there."""
    data = (TEST_IMAGES / "green-tree.jpg").read_bytes()
    (stored,) = services.registry.default.uploads.store([Upload("tree.jpg", data)], None, {})
    assert stored.image is not None
    with served(settings, services) as port:

        def run(
            answers: Answers, *arguments: str, start: str = IN_FRONT, is_served: bool = True,
            **more: str,
        ) -> bytes:  # fmt: skip
            environment = bare(
                TESTING="1", DATABASE_URL=str(settings.database_url), TERM="xterm-256color",
                TEST_UPLOAD_DIR=str(settings.test_upload_dir),
                THUMBNAIL_DIR=str(settings.thumbnail_dir),
                IMAGE_SEARCH_API_PORT=str(port if is_served else NOBODY),
            )  # fmt: skip
            return in_terminal(answers, [start, *arguments], environment | more)

        yield run


def in_terminal(answers: Answers, arguments: list[str], environment: dict[str, str]) -> bytes:
    """All that is written there; the first of `arguments` is how the command is started."""
    start, *rest = arguments
    unasked = dict(answers)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, SIZE)
    process = subprocess.Popen(
        [sys.executable, "-c", start, "-m", "picture_search", *rest],
        cwd=ROOT, env=environment, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    written = b""
    with suppress(OSError):  # the other end is closed
        while piece := os.read(ours, 65_536):
            written += piece
            for asked in [one for one in unasked if one in piece]:
                os.write(ours, unasked.pop(asked))
    _, said = process.communicate(timeout=PROCESS_SECONDS)
    os.close(ours)
    assert process.returncode == 0, said.decode()
    return written


@pytest.mark.parametrize("is_served", [True, False])
def test_kitty_is_sent_thumbnails_and_told_where_they_are(
    command: Command, is_served: bool
) -> None:
    shown = command(KITTY, "search", "a green tree", is_served=is_served)
    assert b",f=100,q=2;iVBORw0KGgo" in shown  # a PNG, in base64
    assert b"\x1b_Ga=p," in shown
    assert shown.count(PLACEHOLDER) == 4 * 8  # rows and columns: characters are 10 by 20 pixels
    assert b".jpg" in shown


def test_a_terminal_with_sixel_is_sent_that(command: Command) -> None:
    shown = command(SIXEL, "similar", str(TEST_IMAGES / "green-tree.jpg"), NO_COLOR="1")
    assert b"\x1bP" in shown
    assert b"\x1b\\" in shown
    assert GRAPHICS not in shown
    assert b".jpg" in shown


def test_other_terminals_are_sent_text_only(command: Command) -> None:
    """No colored blocks either, which the library would draw there."""
    shown = command(PLAIN, "search", "a green tree")
    line = shown.split(GRAPHICS)[1].partition(b"\x1b\\")[2]
    assert b"\x1b" not in line
    assert line.count(b"\n") == 1
    assert b".jpg" in line


@pytest.mark.parametrize(
    ("arguments", "more"),
    [
        (["--json"], {}),
        ([], {"TERM": "dumb"}),
        ([], {"start": PIPED}),
        ([], {"start": IN_BACKGROUND}),  # the answer would stop it
    ],
    ids=["json", "dumb", "piped", "background"],
)
def test_programs_and_terminals_that_cannot_answer_are_not_even_asked(
    command: Command, arguments: list[str], more: dict[str, str]
) -> None:
    shown = command(KITTY, "search", "a green tree", *arguments, **more)
    assert b"\x1b" not in shown
    assert b".jpg" in shown
