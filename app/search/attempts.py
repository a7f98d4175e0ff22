"""Errors as values, where one of several requests may fail without the others."""

from collections.abc import Callable
from typing import TypeVar

from app.errors import ImageSearchError

A = TypeVar("A")
R = TypeVar("R")


def attempt(work: Callable[[A], R], item: A) -> R | ImageSearchError:
    """What `work` makes of the item, or the error that it raises."""
    try:
        return work(item)
    except ImageSearchError as error:
        return error
