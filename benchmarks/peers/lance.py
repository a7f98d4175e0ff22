"""LanceDB with its open-clip registry: `python -m benchmarks.peers.lance`."""

from typing import Any

import lancedb
from lancedb.embeddings import get_registry
from lancedb.pydantic import LanceModel, Vector

from benchmarks.peers import running
from benchmarks.peers.running import seconds


def index(task: dict[str, Any]) -> dict[str, Any]:
    """Index photographs from disk: the seconds that each batch takes."""
    function: Any = get_registry().get("open-clip")
    function = function.create(
        name=task["model"], pretrained=task["checkpoint"], device=running.device()
    )

    class Picture(LanceModel):  # type: ignore[misc]
        uri: str = function.SourceField()
        vector: Vector(function.ndims()) = function.VectorField()  # type: ignore[valid-type]

    table = lancedb.connect(task["store"]).create_table("pictures", schema=Picture)
    paths = task["photographs"]
    function.compute_source_embeddings(paths[:1])
    parts = running.batches(paths)
    times = [seconds(lambda: table.add([{"uri": each} for each in part])) for part in parts]  # noqa: B023
    return {"seconds": times, "pictures": [len(part) for part in parts], "rows": table.count_rows()}


if __name__ == "__main__":
    running.run(index, "lancedb")
