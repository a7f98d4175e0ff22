"""Filters: a JSON object becomes a condition on `images`.

`{"width": {"gte": 800}, "format": "PNG"}`: all must hold, and a bare value means `eq`. The keys
`and` and `or` take lists of filters, `not` takes one. `ne` is true of pictures that lack the
field, and `not` of exactly those that its filter is not true of. Whatever is wrong raises
FilterRejected, which names the path. Values reach SQL as bind parameters only.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, false, or_, true

from app.catalog.filters.conditions import condition_of, demanded_label
from app.catalog.filters.field_names import display
from app.database.tables import Declared
from app.errors import FilterRejected
from app.index.categories.category_rows import SetLabel, Within

MAX_DEPTH = 8  # nested and, or, not
MAX_CLAUSES = 100  # conditions in total; an empty filter counts as one


@dataclass(frozen=True, eq=False)
class Filter:
    """A condition on `images`, which does not check collection and tombstones.

    `condition` is for WHERE and can use indexes; it may be null instead of false. `clauses` are
    its conjuncts with their JSON paths, and are never null. `labels` are those that every picture
    which passes must have.
    """

    condition: ColumnElement[bool]
    clauses: Sequence[tuple[str, ColumnElement[bool]]]
    labels: Sequence[SetLabel] = ()

    @property
    def within(self) -> Within | None:
        """The labels, for a search that may have graphs of them; None without any."""
        if not self.labels:
            return None
        return Within(tuple(self.labels), is_all=len(self.clauses) == len(self.labels) == 1)


def parse(body: object, declared: Declared) -> Filter:
    """Parse a JSON filter; `declared` are the collection's fields.

    `{}` passes everything. Raises FilterRejected.
    """
    parser = _Parser(declared)
    found = list(parser.conjuncts(body, "filter", 0))
    clauses = [(path, condition.is_(true())) for path, condition in found]
    return Filter(_all(condition for _, condition in found), clauses, parser.labels)


Conjuncts = Iterator[tuple[str, ColumnElement[bool]]]
"""JSON paths and their conditions, all of which must hold."""


class _Parser:
    """Walks a filter, counts its clauses and collects the labels that all of it demands."""

    def __init__(self, declared: Declared) -> None:
        self.labels: list[SetLabel] = []
        self._declared = declared
        self._clauses = 0
        self._alternatives = 0  # lists of `or` and filters of `not` around this place

    def conjuncts(self, body: object, path: str, depth: int) -> Conjuncts:
        if not isinstance(body, dict):
            raise FilterRejected(f"{path}: {display(body)} is not a filter: send an object.")
        if depth > MAX_DEPTH:
            raise FilterRejected(f"{path}: filters are nested more than {MAX_DEPTH} deep.")
        if not body:
            self._count_clause(path)
        for name, inner in body.items():
            inner_path = f"{path}.{display_name(name)}"
            yield from COMBINATORS.get(name, _Parser.field)(self, name, inner, inner_path, depth)

    def field(self, name: str, inner: object, path: str, _depth: int) -> Conjuncts:
        operators = inner if isinstance(inner, dict) else {"eq": inner}
        if not operators:
            raise FilterRejected(f'{path}: an operator is needed, as in {{"eq": …}}.')
        for operator, value in operators.items():
            inner_path = f"{path}.{display_name(operator)}" if operators is inner else path
            self._count_clause(inner_path)
            try:
                condition = condition_of(name, operator, value, self._declared)
            except FilterRejected as error:
                raise FilterRejected(f"{inner_path}: {error}") from error
            if not self._alternatives and (
                label := demanded_label(name, operator, value, self._declared)
            ):
                self.labels.append(label)
            yield inner_path, condition

    def all_of(self, _name: str, inner: object, path: str, depth: int) -> Conjuncts:
        for inner_path, one in self._items(inner, path):
            yield from self.conjuncts(one, inner_path, depth + 1)

    def any_of(self, _name: str, inner: object, path: str, depth: int) -> Conjuncts:
        items = self._items(inner, path)
        yield (
            path,
            or_(
                false(),
                *(self._conjunction(one, inner_path, depth + 1) for inner_path, one in items),
            ),
        )

    def none_of(self, _name: str, inner: object, path: str, depth: int) -> Conjuncts:
        yield path, self._conjunction(inner, path, depth + 1).is_not(true())

    def _conjunction(self, body: object, path: str, depth: int) -> ColumnElement[bool]:
        self._alternatives += 1
        found = _all([condition for _, condition in self.conjuncts(body, path, depth)])
        self._alternatives -= 1
        return found

    def _items(self, inner: object, path: str) -> Iterator[tuple[str, object]]:
        if not isinstance(inner, list):
            raise FilterRejected(f"{path}: {display(inner)} is not a list of filters.")
        if not inner:
            self._count_clause(path)
        for number, one in enumerate(inner):
            yield f"{path}[{number}]", one

    def _count_clause(self, path: str) -> None:
        self._clauses += 1
        if self._clauses > MAX_CLAUSES:
            raise FilterRejected(f"{path}: the filter has more than {MAX_CLAUSES} clauses.")


COMBINATORS: Mapping[str, Callable[[_Parser, str, object, str, int], Conjuncts]] = {
    "and": _Parser.all_of,
    "or": _Parser.any_of,
    "not": _Parser.none_of,
}


def display_name(name: object) -> str:
    """A name as part of a JSON path: without quotes."""
    return display(name).removeprefix('"').removesuffix('"')


def _all(found: Iterable[ColumnElement[bool]]) -> ColumnElement[bool]:
    return and_(true(), *found)
