"""What a caller of a search should know beside its hits: why there are fewer than requested."""

from dataclasses import dataclass
from typing import Literal

WarningCode = Literal[
    "below_min_score",
    "stopped_early",
    "duplicates_grouped",
    "continued_on_next_page",
    "deleted_meanwhile",
    "few_word_matches",
    "query_without_words",
    "few_filter_matches",
    "small_collection",
    "vectors_missing",
]
"""Programs tell warnings by these; they do not change."""


@dataclass(frozen=True)
class SearchWarning:
    """One cause, with a sentence for people."""

    code: WarningCode
    message: str
