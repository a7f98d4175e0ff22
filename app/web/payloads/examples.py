"""Examples for the OpenAPI document: requests and responses of the demo."""

from typing import Any, Literal

from pydantic import ConfigDict

Example = dict[str, Any]

FINGERPRINT = "325b3fcd3b256b0e863d9d26492fd7da8743b3d206efd9773641d8c021044fc0"
CURSOR = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"  # the start of one
PICTURE: Example = {
    "id": 112,
    "path": "data/test_images/green-tree.jpg",
    "url": "/api/v1/images/112/file?v=46b0cb7d310453d2",
    "thumbnail_url": "/api/v1/images/112/thumbnail?v=46b0cb7d310453d2",
    "width": 384,
    "height": 384,
}
TOKEN = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"  # noqa: S105  # the start of one
HIT: Example = {
    "path": PICTURE["path"],
    "distance": 0.3057,
    "score": 0.6943,
    **PICTURE,
    "metadata": {"season": "summer"},
}
UPLOADED: Example = {
    "filename": "green.jpg",
    "path": PICTURE["path"],
    "id": 112,
    "status": "duplicate",
    "reason": None,
}
REFUSED: Example = {
    "filename": "notes.txt",
    "path": None,
    "id": None,
    "status": "refused",
    "reason": "This is not a picture in one of these formats: AVIF, BMP, GIF, HEIF, JPEG, PNG, "
    "TIFF, WEBP, camera raw.",
}
IMAGE: Example = {
    **PICTURE,
    "external_id": "sku-4711",
    "original_filename": "green-tree.jpg",
    "content_hash": "46b0cb7d310453d2c87cf1cbe46d30a1077ca2035cb1df93ffd825c862da5ed4",
    "bytes": 12_367,
    "format": "JPEG",
    "caption": "a green tree",
    "caption_source": "given",
    "metadata": {"season": "summer"},
    "origin": None,
    "taken_at": None,
    "created_at": "2026-11-21T09:39:15.616596Z",
}
UPLOADED_IMAGE: Example = {
    "original_filename": "green-tree.jpg",
    "status": "stored",
    "updated": False,
    "reason": None,
    "image": IMAGE | {"path": None},
}
JOB: Example = {
    "id": 1,
    "namespace": "default",
    "collection": "default",
    "status": "succeeded",
    "source": {"folder": "data/test_images"},
    "mode": "add",
    "dry_run": False,
    "reason": None,
    "code": None,
    "waiting": None,
    "waiting_code": None,
    "retryable": False,
    "listed": True,
    "total": 295,
    "done": 295,
    "skipped": 0,
    "failed": 0,
    "added": 295,
    "processed": 0,
    "changed": 0,
    "moved": 0,
    "removed": 0,
    "gone": 0,
    "unchanged": 0,
    "duplicate": 0,
    "cancelled": 0,
    "ignored": 0,
    "companions": 0,
    "created_at": "2026-11-21T09:39:11.893371Z",
    "started_at": "2026-11-21T09:39:11.982305Z",
    "updated_at": "2026-11-21T09:39:24.446625Z",
    "finished_at": "2026-11-21T09:39:24.446625Z",
    "webhook": None,
    "pictures_per_second": 23.7,
    "seconds_left": 0.0,
}
ITEM: Example = {
    "path": PICTURE["path"],
    "status": "succeeded",
    "action": "added",
    "reason": None,
    "code": None,
    "attempts": 1,
    "worker": "vm:27998",
    "image_id": 112,
    "updated_at": "2026-11-21T09:39:15.616596Z",
}
ALIKE: Example = {**PICTURE, "original_filename": "green-tree.jpg", "bytes": 12_367}
ALSO_ALIKE: Example = {
    **ALIKE,
    "id": 296,
    "path": "data/images/tree.jpg",
    "original_filename": "tree.jpg",
    "url": "/api/v1/images/296/file?v=7d8ed30131477fe6",
    "thumbnail_url": "/api/v1/images/296/thumbnail?v=7d8ed30131477fe6",
}
DUPLICATES: Example = {
    "kind": "exact",
    "threshold": None,
    "data": [{"size": 2, "images": [ALIKE, ALSO_ALIKE]}],
    "total_groups": 1,
    "total_images": 2,
    "unhashed": 0,
    "truncated": False,
    "next_cursor": None,
}
COLLECTION: Example = {
    "namespace": "default",
    "name": "holidays",
    "model": "demo model",
    "pretrained": "",
    "english_only": False,
    "fingerprint": FINGERPRINT,
    "dimensions": 128,
    "precision": "float",
    "storage": "halfvec",
    "m": 16,
    "ef_construction": 64,
    "ef_search": None,
    "tuning": None,
    "language": "english",
    "fields": {"place": "text", "stars": "number"},
    "pages": "first",
    "label_sets": ["kind"],
    "annotators": ["text"],
    "regions": "off",
    "sentence_model": None,
    "image_count": 0,
    "coverage": 1.0,
    "created_at": "2026-11-21T09:39:24.842776Z",
}
SEARCH: Example = {
    "hits": [
        {
            "id": 112,
            "external_id": "sku-4711",
            "score": 0.6943,
            "distance": 0.3057,
            "vector_rank": 1,
            "lexical_rank": None,
            "caption_rank": None,
            "confidence": 0.9855,
            **PICTURE,
            "original_filename": "green-tree.jpg",
            "format": "JPEG",
            "caption": "a green tree on a meadow",
            "caption_source": "generated",
            "metadata": {},
            "taken_at": None,
            "created_at": IMAGE["created_at"],
            "box": None,
            "texts": [],
            "duplicates": [],
        }
    ],
    "timings_ms": {"encode": 0.3, "database": 8.8},
    "model": "demo model",
    "fingerprint": FINGERPRINT,
    "index_id": 1,
    "method": "hnsw",
    "collection_size": 295,
    "coverage": 1.0,
    "no_match": False,
    "warnings": [],
    "unused_text": None,
    "suggested_filters": [],
    "total": None,
    "facets": None,
    "explain": None,
    "next_cursor": CURSOR,
    "feedback": "not_enough_data",
    "token": TOKEN,
}
FEEDBACK: Example = {
    "id": 1,
    "query": "a green tree",
    "image_id": 112,
    "rating": 9,
    "comment": None,
    "updated_at": "2026-11-21T09:41:02.118244Z",
}
EXPORTED: Example = {
    "id": 1,
    "collection": "default",
    "model": "demo model",
    "pretrained": "",
    "fingerprint": FINGERPRINT,
    "search": "0d5e6f0e-3bb1-4c36-8a8b-1f6f29c9ab0c",
    "query": "a green tree",
    "image_id": 112,
    "rating": 9,
    "comment": None,
    "created_at": "2026-11-21 09:41:02.118244+00:00",
    "updated_at": "2026-11-21 09:41:02.118244+00:00",
}
FEEDBACK_SUMMARY: Example = {
    "by_model": [
        {
            "model": "demo model",
            "pretrained": "",
            "fingerprint": FINGERPRINT,
            "ratings": 1,
            "mean": 9.0,
        }
    ],
    "by_day": [{"day": "2026-11-21", "ratings": 1, "mean": 9.0}],
    "worst_queries": [{"query": "a green tree", "ratings": 1, "mean": 9.0, "best": 9}],
    "without_good": [],
    "evaluations": [
        {
            "collection": "default",
            "status": "not_enough_data",
            "ndcg_without": None,
            "ndcg_with": None,
            "standard_error": None,
            "agreement": None,
            "queries": 0,
            "ratings": 0,
            "evaluated_at": None,
        }
    ],
    "model_changes": [],
}


def with_examples(*examples: Example, extra: Literal["ignore", "forbid"] = "ignore") -> ConfigDict:
    """The configuration of a model with these examples in the OpenAPI document.

    Requests forbid `extra` fields.
    """
    return ConfigDict(json_schema_extra={"examples": list(examples)}, extra=extra)
