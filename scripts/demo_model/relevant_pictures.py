"""Which bundled test pictures truly match each name that this repository knows.

The matches follow from the pictures' concepts alone: their names and synonyms, English and Chinese
(synonyms.csv), and Unicode's groups of emoji (groups.csv). None is chosen picture by picture.
"""

import csv
from collections import defaultdict
from pathlib import Path

from scripts.demo_model.evaluate import read_manifest

SYNONYMS = Path(__file__).with_name("synonyms.csv")
GROUPS = Path(__file__).with_name("groups.csv")


def truths(manifest_dir: Path) -> dict[str, set[int]]:
    """For each name, the positions in the manifest of the pictures that show what it names."""
    shown: dict[str, set[int]] = defaultdict(set)
    for place, row in enumerate(read_manifest(manifest_dir)):
        for concept in row["concepts"].split(";"):
            shown[concept].add(place)
    found: dict[str, set[int]] = defaultdict(set)
    for concept, places in shown.items():
        found[concept] |= places
    for row in _rows(SYNONYMS):
        for name in _parts(row["synonyms"]) + _parts(row["zh"]):
            found[name] |= shown.get(row["name"], set())
    for row in _rows(GROUPS):
        together = set().union(*(shown.get(one, set()) for one in _parts(row["concepts"])))
        for name in _parts(row["queries"]) + _parts(row["zh"]):
            found[name] |= together
    return {name: found[name] for name in sorted(found) if found[name]}


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def _parts(cell: str) -> list[str]:
    return [one.strip() for one in cell.split(";") if one.strip()]
