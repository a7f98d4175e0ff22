"""The parts of `make benchmark` that need no others and no time."""

import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from app.settings import ROOT
from benchmarks import chart, load, machine, photographs
from benchmarks.chart import Bar, Panel
from benchmarks.figures import FIGURES
from benchmarks.load import RequestFailed, by_image, by_text, drive
from benchmarks.report import BEGIN, DATA, END, PAGE, PLOT, Report, number, panels, replaced, table
from benchmarks.results import Figure, Line, Run, at_least, at_most, p50, p95
from benchmarks.sentences import sentences
from benchmarks.server import Model, environment

SVG = "{http://www.w3.org/2000/svg}"


def a_run(value: float = 12.0) -> Run:
    goals = [at_least("our rate to Chroma's", "×", value, 10), at_most("p50", "ms", 5, 4)]
    lines = [
        Line.of("ours", "pictures/s", [40, 50, 60]),
        Line.one("ours", "s", 0.5),
        Line.of("Chroma <OpenCLIP>", "pictures/s", [4, 5, 6]),
        Line.one("at rest", "GB", 1.1),
    ]
    return Run(Figure(goals, lines, ["a note"]), {"CPU": "of a test"}, "2026-01-02", 3.0)


def test_a_line_has_median_and_quartiles() -> None:
    line = Line.of("a", "ms", [5, 1, 2, 4, 3])
    assert (line.low, line.median, line.high, line.count) == (2, 3, 4, 5)
    assert Line.milliseconds("a", [0.001, 0.003]).median == pytest.approx(2)
    assert (p50([1, 2, 9]), p95(range(101))) == (2, 95)


def test_goals_are_met_on_their_own_side_of_the_bound() -> None:
    assert at_least("a", "×", 10, 10).is_met
    assert not at_least("a", "×", 9.9, 10).is_met
    assert at_most("a", "ms", 4, 4).is_met
    assert not at_most("a", "ms", 4.1, 4).is_met
    assert at_least("a", "×", 20, 10).reached == 2
    assert at_most("a", "ms", 2, 4).reached == 2
    assert at_most("a", "%", 0, 2).reached == at_most("a", "%", -1, 2).reached == float("inf")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (0.00123, "0.00123"),
        (0.000012, "0.00001"),
        (0.25, "0.25"),
        (3.14159, "3.14"),
        (99.96, "100"),
        (1234.5, "1,234"),
        (-12.34, "-12.3"),
    ],
)
def test_numbers_are_shown_with_three_digits(value: float, shown: str) -> None:
    assert number(value) == shown


def test_a_table_is_markdown() -> None:
    assert table(("a", "b"), [("1", "2")]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


def test_only_what_is_between_the_marks_is_replaced() -> None:
    page = f"# Mine\n\n{BEGIN}\nold\n{END}\n\nWhy it is so.\n"
    once = replaced(page, "new")
    assert once == f"# Mine\n\n{BEGIN}\n\nnew\n\n{END}\n\nWhy it is so.\n"
    assert replaced(once, "new") == once
    with pytest.raises(ValueError, match="lacks its marks"):
        replaced("# Mine\n", "new")
    with pytest.raises(ValueError, match="lacks its marks"):
        replaced(f"{END}\n{BEGIN}\n", "new")


def test_a_partial_run_replaces_its_own_figures_alone(tmp_path: Path) -> None:
    report = Report(tmp_path)
    report.add("text", a_run(1))
    report.add("indexing", a_run(2))
    report.add("text", a_run(3))
    told = json.loads((tmp_path / DATA).read_text())
    assert list(told) == ["indexing", "text"]  # in the order of the page
    assert [told[name]["figure"]["goals"][0]["value"] for name in told] == [2, 3]
    assert report.runs()["text"] == a_run(3)
    page = (tmp_path / PAGE).read_text()
    assert page.index(FIGURES["indexing"].title) < page.index("### " + FIGURES["text"].title)
    assert f"]({PLOT})" in page
    assert page.count("CPU of a test") == 1
    assert "| our rate to Chroma's | 2× |  | ≥ 10× | **no** |" in page
    assert "make benchmark FIGURE=text" in page
    assert not list(tmp_path.glob("*.part"))


def test_figures_of_another_day_stay_beside_todays(tmp_path: Path) -> None:
    report = Report(tmp_path)
    report.add("text", a_run(1))
    report.add("text", replace(a_run(2), day="2026-02-03"))
    report.add("text", replace(a_run(3), day="2026-02-03"))  # the same day: the former ones stay
    page = (tmp_path / PAGE).read_text()
    assert "| our rate to Chroma's | 3× | 1× | ≥ 10× | **no** |" in page
    assert "| ours | pictures/s | 50 | 45 – 55 | 3 | 50 |" in page
    assert "| ours | s | 0.5 |  | 1 | 0.5 |" in page
    assert "Formerly: 2026-01-02, of a test." in page
    assert Report(tmp_path).runs() == report.runs()


def test_figures_of_two_machines_say_which(tmp_path: Path) -> None:
    report = Report(tmp_path)
    report.add("text", a_run())
    report.add("image", replace(a_run(), machine={"CPU": "another"}))
    page = (tmp_path / PAGE).read_text()
    assert f"{FIGURES['text'].title} measured on: CPU of a test." in page
    assert f"{FIGURES['image'].title} measured on: CPU another." in page


def test_the_plot_is_svg_with_a_bar_for_each_value() -> None:
    drawn = ElementTree.fromstring(chart.draw(panels({"indexing": a_run()})))
    texts = [element.text for element in drawn.iter(f"{SVG}text")]
    assert "Chroma <OpenCLIP>" in texts
    assert "12× (≥ 10)" in texts
    bars = [each for each in drawn.iter(f"{SVG}rect") if each.get("fill") != "white"]
    assert len(bars) == 4  # two goals, two rates; what stands alone in its unit is not drawn
    widths = {each.get("fill"): float(each.get("width", "0")) for each in bars[:2]}
    assert widths[chart.GOOD] > 0
    assert widths[chart.BAD] > 0
    ours, theirs = (float(each.get("width", "0")) for each in bars[2:])
    assert ours == pytest.approx(10 * theirs, rel=0.01)
    for each in drawn.iter(f"{SVG}rect"):
        assert float(each.get("x", "0")) + float(each.get("width", "0")) <= chart.WIDTH


@pytest.mark.parametrize("value", [0.0, 1e-9, 1e9, float("inf")])
def test_extreme_goals_stay_within_the_plot(value: float) -> None:
    drawn = ElementTree.fromstring(
        chart.draw([Panel("a", [Bar("b", value, "c")], around_one=True)])
    )
    (bar,) = [each for each in drawn.iter(f"{SVG}rect") if each.get("fill") == chart.PLAIN]
    assert float(bar.get("x", "0")) >= chart.LABELS
    assert float(bar.get("x", "0")) + float(bar.get("width", "0")) <= chart.WIDTH - chart.VALUES


def test_generated_photographs_are_like_real_ones(tmp_path: Path) -> None:
    paths = photographs.photographs(tmp_path, 12)
    sizes = [path.stat().st_size for path in paths]
    assert 60_000 < np.median(sizes) < 160_000  # real ones of 500 × 375 have about 106,000
    for path in paths:
        with Image.open(path) as picture:
            assert (picture.format, picture.mode) == ("JPEG", "RGB")
            assert sorted(picture.size) == [375, 500]
    assert len({path.read_bytes() for path in paths}) == 12
    before = paths[0].read_bytes()
    paths[0].unlink()
    assert photographs.photographs(tmp_path, 1)[0].read_bytes() == before
    assert not list(tmp_path.glob("*.part"))


def test_the_spectrum_of_generated_photographs_falls_as_that_of_real_ones() -> None:
    pixels = np.asarray(photographs.photograph(0).convert("L"), np.float64)
    power = np.abs(np.fft.fft2(pixels - pixels.mean())) ** 2
    frequency = np.hypot(
        np.fft.fftfreq(pixels.shape[0])[:, None], np.fft.fftfreq(pixels.shape[1])[None]
    )
    known = (frequency > 0.01) & (frequency < 0.3)
    slope = np.polyfit(np.log(frequency[known]), np.log(power[known]), 1)[0]
    assert -3.0 < slope < -1.4  # amplitudes like 1/f: power like 1/f²


def test_photographs_of_somebodys_own_are_taken_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no JPEG"):
        photographs.given(tmp_path, 5)
    for name in ("b.JPG", "a.jpeg", "c.png"):
        (tmp_path / name).touch()
    assert [path.name for path in photographs.given(tmp_path, 5)] == ["a.jpeg", "b.JPG"]
    assert len(photographs.given(tmp_path, 1)) == 1


def test_captions_are_all_different_and_always_the_same() -> None:
    some = sentences(5_000)
    assert len(set(some)) == 5_000
    assert some == sentences(5_000)
    assert some[:10] != sorted(some[:10])


def test_the_machine_is_described_without_its_name() -> None:
    told = machine.described()
    assert {"CPU", "flags", "cores", "memory", "Python", "torch"} <= told.keys()
    assert "pgvector" not in told, "that is the extension, whose version is another"
    assert all(told.values())


def test_a_server_of_the_benchmark_has_nobodys_own_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://somebody")
    monkeypatch.setenv("RUNTIME", "torch")
    own = environment(tmp_path, Model(tmp_path / "weights", tmp_path / "models"))
    assert "DATABASE_URL" not in own
    assert own["RUNTIME"] == "torch"
    assert own["PRECISION"] == "bf16"  # not auto, which might take int8
    model = Model(tmp_path / "weights", tmp_path / "models")
    monkeypatch.setenv("PRECISION", "fp32")
    assert environment(tmp_path, model)["PRECISION"] == "fp32"
    assert environment(tmp_path, model, precision="int8")["PRECISION"] == "int8"
    assert own["POSTGRES_DIR"].startswith(str(tmp_path))


class _Echo(http.server.BaseHTTPRequestHandler):
    """Answers with what was sent, in two pieces; /bad with an error."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(self.path.encode())

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, body: bytes) -> None:
        self.send_response(500 if self.path == "/bad" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:1])
        self.wfile.flush()
        self.wfile.write(body[1:])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with http.server.ThreadingHTTPServer((load.HOST, 0), _Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_a_load_answers_each_request_once(port: int) -> None:
    asked = [by_text(f"a tree {n}") for n in range(20)] + [by_image(bytes(200_000))] * 4
    for clients in (1, 5):
        done = drive(port, asked, clients)
        assert len(done.times) == 24
        assert 0 < min(done.times) <= done.elapsed
        assert done.rate == pytest.approx(24 / done.elapsed)


def test_a_load_ends_with_its_time(port: int) -> None:
    done = drive(port, iter(lambda: by_text("a"), b""), clients=3, seconds=0.2)
    assert 0.2 <= done.elapsed < 5
    assert len(done.times) >= 3


def test_a_failed_request_ends_the_load(port: int) -> None:
    with pytest.raises(RequestFailed, match=r"500.*/bad"):
        drive(port, [load.request("GET", "/bad")])


def test_the_lock_of_the_peers_has_our_torch_and_names_no_index() -> None:
    theirs = (ROOT / "benchmarks" / "requirements.lock").read_text()
    ours = (ROOT / "requirements.lock").read_text()
    for name in ("torch", "torchvision", "open-clip-torch", "pillow"):
        (line,) = [line for line in ours.splitlines() if line.startswith(f"{name}==")]
        assert line in theirs.splitlines()
    assert "chromadb==1.5." in theirs
    assert "lancedb==0.40." in theirs
    for word in ("://", "--index", "--find-links"):
        assert word not in theirs
