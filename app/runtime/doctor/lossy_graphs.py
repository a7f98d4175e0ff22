"""Graphs by which pictures are not found, and their rebuilding beside searches and uploads."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.database.connections import Sessions
from app.database.tables import VectorIndex
from app.index import graph_health, graph_rebuild
from app.index.graph_health import GraphHealth
from app.runtime.doctor.findings import Finding


@dataclass(frozen=True)
class LossyGraphs:
    """Looks for graphs that lose pictures, and rebuilds them."""

    sessions: Sessions
    indexes: Sequence[VectorIndex]

    def look(self) -> tuple[Finding, list[str]]:
        """Those graphs, and notes on vectors that a rebuild did not help."""
        found, notes, ill = [], [], []
        for index in self.indexes:
            health = graph_health.examine(self.sessions, index)
            if health is None:
                continue
            if health.is_ill:
                ill.append(index)
                found.append(f"{index.partition}: {_described(health)}")
            elif health.unreachable != 0:
                notes.append(f"{index.partition}: {_remark(health)}")

        def rebuild(sure: bool) -> int:
            rebuilt = [index for index in ill if graph_rebuild.rebuild(self.sessions, index)]
            for index in rebuilt:
                graph_health.maintain(self.sessions, index)  # measures the new graph
            return len(rebuilt)

        return Finding("graphs that lose pictures", found, rebuild), notes


def _described(health: GraphHealth) -> str:
    lost = f"{health.lost} of {health.sampled} unusual pictures are not found by their own vectors"
    return f"{lost}, {health.unreachable} vectors are unreachable" if health.unreachable else lost


def _remark(health: GraphHealth) -> str:
    if health.unreachable is None:
        return "a walk through the whole graph takes too long: unreachable vectors were not counted"
    return (
        f"{health.unreachable} vectors are unreachable in the graph, which was rebuilt when it was "
        "about as large; unusual pictures are found."
    )
