"""Chroma with its OpenCLIP function, on its embedded store: `python -m benchmarks.peers.chroma`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import chromadb
import numpy as np
from chromadb.api.shared_system_client import SharedSystemClient
from chromadb.utils.data_loaders import ImageLoader
from chromadb.utils.embedding_functions import OpenCLIPEmbeddingFunction

from benchmarks.peers import running
from benchmarks.peers.running import seconds

HITS = 10
WARM_UP = 10  # queries not counted
COLLECTION = "pictures"
BUILT = "built.json"  # seconds, in the store
DEFAULT_EF = 100  # Chroma's own ef_search
ADDED = 5_000  # vectors added per call


def measure(task: dict[str, Any]) -> dict[str, Any]:
    """Run the task of the given name."""
    tasks = {"index": index, "texts": texts, "nearest": nearest}
    return tasks[task["task"]](task)


def index(task: dict[str, Any]) -> dict[str, Any]:
    """Index photographs from disk: the seconds that each batch takes."""
    function = _function(task)
    client = chromadb.PersistentClient(task["store"])
    collection = client.create_collection(
        COLLECTION, embedding_function=function, data_loader=ImageLoader()
    )
    paths = task["photographs"]
    function(ImageLoader()(paths[:1]))
    parts = running.batches(paths)
    times = [seconds(lambda: collection.add(ids=list(part), uris=list(part))) for part in parts]  # noqa: B023
    return {"seconds": times, "pictures": [len(part) for part in parts], "rows": collection.count()}


def texts(task: dict[str, Any]) -> dict[str, Any]:
    """Search by text, end to end: the seconds of each query."""
    collection, _ = _filled(task, _function(task))

    def ask(text: str) -> None:
        collection.query(query_texts=[text], n_results=HITS)

    for text in task["texts"][:WARM_UP]:
        ask(text)
    return {"seconds": [seconds(lambda: ask(text)) for text in task["texts"][WARM_UP:]]}  # noqa: B023


def nearest(task: dict[str, Any]) -> dict[str, Any]:
    """Search by vector with a number of candidates: recall@10, and the seconds of each query.

    The number takes effect when the index is reopened; at the end it is set to the default. Once a
    process: each reopening takes the memory of another index, until garbage is collected.
    """
    collection, built = _filled(task, None)
    queries, expected = np.load(task["queries"]), np.load(task["expected"])
    collection.modify(configuration={"hnsw": {"ef_search": task["ef"]}})
    SharedSystemClient.clear_system_cache()
    collection, _ = _filled(task, None)
    _answers(collection, queries[:WARM_UP])
    ids, times = _answers(collection, queries)
    found = sum(len({*a} & {*b}) for a, b in zip(ids, expected.tolist(), strict=True))
    collection.modify(configuration={"hnsw": {"ef_search": DEFAULT_EF}})
    return {"build": built, "recall": found / expected.size, "seconds": times}


def _answers(collection: Any, queries: Any) -> tuple[list[list[int]], list[float]]:
    found, times = [], []
    for query in queries:
        asked = query[None].tolist()
        answer: dict[str, Any] = {}
        times.append(
            seconds(
                lambda: answer.update(  # noqa: B023
                    collection.query(query_embeddings=asked, n_results=HITS, include=["distances"])  # noqa: B023
                )
            )
        )
        found.append([int(each) for each in answer["ids"][0]])
    return found, times


def _filled(task: dict[str, Any], function: Any) -> tuple[Any, float]:
    """A collection of the vectors in the task's file, ids from 1, and the seconds to fill it."""
    client = chromadb.PersistentClient(task["store"])
    noted = Path(task["store"]) / BUILT
    if noted.exists():
        return client.get_collection(COLLECTION, function), json.loads(noted.read_text())
    collection = client.create_collection(
        COLLECTION, configuration={"hnsw": {"space": "cosine"}}, embedding_function=function
    )
    vectors = np.load(task["vectors"])
    built = seconds(lambda: _add(collection, vectors))
    noted.write_text(json.dumps(built))
    return collection, built


def _add(collection: Any, vectors: Any) -> None:
    for start in range(0, len(vectors), ADDED):
        rows = vectors[start : start + ADDED]
        ids: Sequence[str] = [str(start + n + 1) for n in range(len(rows))]
        collection.add(ids=ids, embeddings=rows)


def _function(task: dict[str, Any]) -> Any:
    return OpenCLIPEmbeddingFunction(task["model"], task["checkpoint"], running.device())


if __name__ == "__main__":
    running.run(measure, "chromadb")
