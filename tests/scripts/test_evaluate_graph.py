"""`make evaluate-graph`, in a small form (issue 21, its bar of its own)."""

import subprocess
import sys

from app.settings import ROOT

ROWS = 3 * 3 * 4  # libraries, storages, states of the graph


def test_the_table_is_printed_and_shuffled_graphs_lose_little() -> None:
    command = [sys.executable, "-m", "scripts.evaluate_graph"]
    small = ["--count", "320", "--dimensions", "32", "--queries", "10"]
    told = subprocess.run([*command, *small], cwd=ROOT, capture_output=True, text=True, check=True)
    lines = [line.strip("| ").split(" | ") for line in told.stdout.splitlines() if " | " in line]
    head, rows = lines[0], lines[1:]
    assert head[:3] == ["library", "storage", "graph over"]
    assert len(rows) == ROWS
    for (
        library,
        storage,
        order,
        own,
        mean,
        worst,
        unreachable,
        by,
        _,
        served,
        coded,
        by_codes,
    ) in rows:
        assert 0 <= float(worst) <= float(mean) <= 1, library
        assert int(unreachable.replace(",", "")) < 320
        if order == "shuffled rows" and storage != "bit":
            assert float(own) >= 0.95
        assert by == ("exactly" if float(worst) < 0.95 else "by the graph")
        assert float(served) >= 0.95
        assert float(coded) == 1
        assert float(by_codes) >= 0.95
