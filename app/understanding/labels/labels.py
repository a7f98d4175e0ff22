"""Labels and label sets: names for what pictures show, each with the phrases that describe it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self

from app.database.label_tables import OTHER
from app.errors import LabelsRejected

MAX_LABELS = 100  # in a set, or in one request
MAX_PHRASES = 20  # of a label, or of what it is not
MAX_OTHER = 200  # phrases for pictures without any label of a set
MAX_TEMPLATES = 20  # of a set, or of one request
MAX_PROMPTS = 1_000  # in all: a large model reads one in 20 ms
MAX_SETS = 20  # of a collection: each is one more product of matrices for every new picture
MAX_NAME_CHARACTERS = 100
MAX_PHRASE_CHARACTERS = 300

SLOT = "{}"
"""Where a template takes a phrase."""
DEFAULT_TEMPLATES = (SLOT, f"a photo of {SLOT}")
DEFAULT_THRESHOLD = 0.5


Gate = Literal["flag", "refuse"]
"""What becomes of new pictures with certain labels: they are held for review, or refused."""


@dataclass(frozen=True)
class Label:
    """A label; without phrases its name is the only one.

    Each phrase is a way to show it, and the best one counts. `negatives` describe what is not
    meant, though it looks alike.
    """

    name: str
    phrases: tuple[str, ...] = ()
    negatives: tuple[str, ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        """The phrases, or else the name."""
        return self.phrases or (self.name,)


@dataclass(frozen=True)
class LabelSet:
    """Labels that a collection's pictures get.

    Of an `exclusive` set a picture has exactly one label, of any other set all that hold: those
    with a probability of `threshold` or more. `other` are phrases that describe pictures without
    any of the labels; None stands for the bundled unrelated texts.

    A set with a `gate` decides whether new pictures are let in: not those that get one of
    `gate_labels`; None stands for all of its labels.

    The labels of a `category` are searched within: large ones get graphs of their own
    (`index.categories`).
    """

    name: str
    labels: tuple[Label, ...]
    exclusive: bool = False
    threshold: float = DEFAULT_THRESHOLD
    templates: tuple[str, ...] = DEFAULT_TEMPLATES
    other: tuple[str, ...] | None = None
    gate: Gate | None = None
    gate_labels: tuple[str, ...] | None = None
    category: bool = False

    @property
    def stopping(self) -> tuple[str, ...]:
        """The labels whose pictures the gate stops; none without one."""
        if self.gate is None:
            return ()
        names = tuple(label.name for label in self.labels)
        return names if self.gate_labels is None else self.gate_labels

    def tells_as(self, other: "LabelSet") -> bool:
        """Whether pictures get the same labels by the other set."""
        return replace(self, category=other.category) == other

    def to_json(self) -> dict[str, Any]:
        """All but the name, as it is stored."""
        return {key: value for key, value in asdict(self).items() if key != "name"}

    @classmethod
    def from_json(cls, name: str, stored: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        labels = tuple(
            Label(one["name"], tuple(one["phrases"]), tuple(one["negatives"]))
            for one in stored["labels"]
        )
        kept = (stored["exclusive"], stored["threshold"], tuple(stored["templates"]))
        gate_labels = _tuple(stored.get("gate_labels"))  # sets of earlier versions lack these
        later = (stored.get("gate"), gate_labels, stored.get("category", False))
        return cls(name, labels, *kept, _tuple(stored["other"]), *later)


def _tuple(stored: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if stored is None else tuple(stored)


def prompts_of(phrase: str, templates: Sequence[str]) -> list[str]:
    """The texts that are embedded for a phrase: one for each template."""
    return [template.replace(SLOT, phrase) for template in templates]


def check_set(labels: LabelSet) -> None:
    """Raise LabelsRejected unless pictures can be labelled by the set."""
    check_labels(labels.labels, labels.templates, labels.other or ())
    if any(label.name == OTHER for label in labels.labels):
        raise LabelsRejected(
            f"labels: {OTHER!r} is reserved for pictures that have no label of the set: choose "
            "another name."
        )
    _check_gate(labels)
    alone = [label.name for label in labels.labels if not label.negatives]
    if labels.other == () and not labels.exclusive and alone:
        raise LabelsRejected(
            f"labels: {alone[0]!r} is compared with nothing: give it negatives, or leave out "
            "`other`, or make the set exclusive."
        )


def _check_gate(labels: LabelSet) -> None:
    if labels.gate_labels is None:
        return
    if labels.gate is None:
        raise LabelsRejected(
            "gate_labels: send gate too (flag or refuse), or leave gate_labels out."
        )
    names = [label.name for label in labels.labels]
    for one in labels.gate_labels:
        if one not in names:
            raise LabelsRejected(f"gate_labels: the set has no label {one!r}.")


def check_labels(
    labels: Sequence[Label], templates: Sequence[str], other: Sequence[str] = ()
) -> None:
    """Raise LabelsRejected where names occur twice, templates have no slot, or prompts are many.

    Lengths are checked where the labels are read.
    """
    names = [label.name for label in labels]
    for position, name in enumerate(names):
        if name in names[:position]:
            raise LabelsRejected(f"labels: {name!r} occurs twice: names must differ.")
    for template in templates:
        if template.count(SLOT) != 1:
            raise LabelsRejected(
                f"templates: {template!r} needs {SLOT} once, where the phrase goes."
            )
    phrases = sum(len(label.texts) + len(label.negatives) for label in labels) + len(other)
    prompts = phrases * len(templates)
    if prompts > MAX_PROMPTS:
        raise LabelsRejected(
            f"labels: {phrases:,} phrases in {len(templates)} templates are {prompts:,} prompts; "
            f"{MAX_PROMPTS:,} are allowed."
        )
