"""Which files of a folder belong to which picture, by their names alone.

Sidecars hold a picture's captions and keywords; a live photo's clip has its still's name. Google
Takeout's own rules of naming are here too: it cuts names, moves the number of a second file of the
same name, and keeps nothing for the edited copy of a picture.
"""

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

SIDECAR = ".json"  # picture.jpg.json holds the caption and metadata of picture.jpg
XMP_SIDECAR = ".xmp"
SIDECARS = (SIDECAR, XMP_SIDECAR)
CLIPS = {".mov", ".mp4", ".m4v", ".mp", ".mpg", ".mpeg", ".avi", ".3gp", ".mts"}
CLIPS_OF_STILLS = {".mov", ".mp4", ".mp"}  # as phones name the moving part of a picture
STILLS = {".jpg", ".jpeg", ".heic", ".heif", ".avif", ".png", ".webp", ".tif", ".tiff", ".dng"}

SUPPLEMENT = ".supplemental-metadata"  # of Takeout's sidecars since 2024
CUT = 46  # characters of their names, before a number and .json
NUMBERED = re.compile(r"(.*?)(\(\d{1,4}\))?", re.DOTALL)
EDITED = (
    *("-edited", "-bearbeitet", "-modifié", "-modifie", "-editado", "-modificato", "-bewerkt"),
    *("-redigerad", "-redigeret", "-redigert", "-muokattu", "-edytowane", "-upraveno", "-upravené"),
    *("-szerkesztett", "-editat", "-uređeno", "-urejeno", "-düzenlendi", "-изменено", "-змінено"),
    *(
        "-επεξεργασία",
        "-編集済み",
        "-已修改",
        "-已編輯",
        "-已编辑",
        "-수정됨",
        "-แก้ไขแล้ว",
        "-đã chỉnh sửa",
    ),
)
"""What Takeout adds to the name of an edited copy, in the account's language."""

EDITED_ON_PHONE = re.compile(r"(IMG_)E(\d{4})")  # iPhone: IMG_E0001.JPG is of IMG_0001.HEIC
EDITED_ELSEWHERE = ("-Edit", "~2")  # Lightroom, Google Photos on Android
SHORTEST_CUT = 2  # characters left of it, the hyphen included
LONG_NAME = 40  # characters without the suffix: of shorter names nothing is cut
ALBUMS = (
    *("metadata", "metadaten", "métadonnées", "metadatos", "metadati", "metadados", "metagegevens"),
    *("metadane", "metaadatok", "metadáta", "метаданные", "метадані", "メタデータ", "元数据"),
    *("中繼資料", "메타데이터", "metaveriler", "metatiedot", "ข้อมูลเมตา"),
)
"""The names of the file that describes an album, in the account's language."""


@dataclass(frozen=True)
class Companions:
    """The files of one folder; only those that can be companions are kept.

    Names are compared in composed form (NFC), and those that differ in case alone are the same
    unless both are there.
    """

    _names: Collection[str] = ()
    _json: dict[str, str] = field(default_factory=dict)
    _xmp: dict[str, str] = field(default_factory=dict)
    _albums: list[str] = field(default_factory=list)
    _exact: set[str] = field(default_factory=set)
    _clips: set[str] = field(default_factory=set)

    @classmethod
    def among(cls, names: Collection[str]) -> "Companions":
        """Those among the names of a folder's files, which are not to change."""
        found = cls(names)
        clips: dict[str, list[str]] = {}
        for name in names:
            whole = _folded(name)
            suffix = suffix_of(whole)
            if suffix in SIDECARS:
                found._add(name, whole[: -len(suffix)], suffix)
            elif suffix in CLIPS_OF_STILLS:
                clips.setdefault(whole[: -len(suffix)], []).append(name)
        for name in names if clips else ():
            stem, suffix = _split(_folded(name))
            if suffix in STILLS:
                found._clips.update(clips.get(stem, ()))
        return found

    def _add(self, name: str, stem: str, suffix: str) -> None:
        if suffix == XMP_SIDECAR:
            self._xmp.setdefault(stem, name)
        else:
            body, number = _numbered(stem)
            if body in ALBUMS:
                self._albums.append(name)
                return
            self._json.setdefault(_key(body, number), name)
        self._exact.add(name)

    def of(self, name: str) -> tuple[str, ...]:
        """The sidecars of a picture, by name; an album's comes last."""
        if not (self._exact or self._albums):
            return ()
        exact = [one for end in self._ends if (one := name + end) in self._exact]
        whole = _folded(name)
        others: list[str] = []
        if self._xmp:
            beside = (self._xmp.get(whole), self._xmp.get(_split(whole)[0]))
            others += [one for one in beside if one and one not in exact]
        if self._json:
            others += [one for one in self._takeout(whole) if one not in exact]
        if others:
            distinct = dict.fromkeys(others)
            others = [one for one in distinct if not self._is_anothers(one, whole)]
        return (*exact, *others, *self._albums)

    @cached_property
    def _ends(self) -> tuple[str, ...]:
        """What sidecars here may add to a picture's name: a listing asks for every file."""
        return (SIDECAR,) * bool(self._json) + (XMP_SIDECAR,) * bool(self._xmp)

    def _is_anothers(self, sidecar: str, whole: str) -> bool:
        """Whether it is named by a file whose name differs from `whole` in case alone."""
        stem, suffix = _split(sidecar)
        is_alike = suffix in SIDECARS and _folded(stem) == whole
        return is_alike and stem in self._distinct

    @cached_property
    def _distinct(self) -> frozenset[str]:
        return frozenset(self._names)

    def _takeout(self, whole: str) -> Iterator[str]:
        """Its sidecar by Takeout's rules, also if it is our own, `picture.jpg.json`."""
        for base, number in _bases(whole):
            full = base + SUPPLEMENT
            for end in range(len(full), min(len(base), CUT) - 1, -1):
                if (found := self._json.get(_key(full[:end], number))) is not None:
                    yield found
                    return

    def is_clip(self, name: str) -> bool:
        """Whether a file is the moving part of a still beside it."""
        return name in self._clips

    def strays(self, names: Iterable[str]) -> set[str]:
        """The sidecars that look like Takeout's and belong to none of the files."""
        looks = {name for key, name in self._json.items() if _is_takeouts(key.partition("/")[0])}
        for name in names if looks else ():
            if suffix_of(name).lower() not in SIDECARS:
                looks.difference_update(self.of(name))
        return looks


def common_beginning(name: str) -> str:
    """What the names of a picture and of its sidecars, numbered and edited ones too, begin with."""
    whole = _folded(name)
    stems = [_split(base)[0] for base, _ in _bases(whole)] + [whole.partition(".")[0]]
    length = min(len(stem) for stem in stems if stem)
    end = min(length, CUT)
    if not name.isascii():  # folding may change the length
        end = next(n for n in range(len(name) + 1) if len(_folded(name[:n])) >= end)
    return name[:end]


def begins_with(name: str, beginning: str) -> bool:
    """Whether `name` may belong to what has this common beginning.

    What follows it is then a dot, a hyphen or a parenthesis, unless Takeout has cut a long name.
    """
    if not name.startswith(beginning):
        return False
    return len(beginning) >= CUT or name[len(beginning) :][:1] <= "."


def belongs(sidecar: str, picture: str) -> bool:
    """Whether this is `picture.jpg.json`, our own name of a sidecar."""
    return _folded(sidecar) == _folded(picture) + SIDECAR


def may_be_sidecar(name: str) -> bool:
    """Whether this may be a picture's JSON or an album's: not `package.json`."""
    stem, suffix = _split(_folded(name))
    return suffix == SIDECAR and (bool(_split(stem)[1]) or len(stem) >= CUT or is_album(name))


def is_album(name: str) -> bool:
    """Whether this is the file of an album, by its name."""
    stem, suffix = _split(_folded(name))
    return suffix == SIDECAR and _numbered(stem)[0] in ALBUMS


def _is_takeouts(stem: str) -> bool:
    """Whether a sidecar's stem is a file's name, whole or with a beginning of SUPPLEMENT."""
    body, _, last = stem.rpartition(".")
    is_cut = len(stem) >= CUT
    return is_cut or bool(body and (SUPPLEMENT.startswith(f".{last}") or f".{last}" in STILLS))


def _bases(whole: str) -> Iterator[tuple[str, str]]:
    """The names, with the number that was moved, by which Takeout may know a file: best first."""
    stem, suffix = _split(whole)
    body, number = _numbered(stem)
    yield whole, ""
    if number:
        yield body + suffix, number
    for original in _originals(body):
        yield original + number + suffix, ""
        yield original + suffix, number
        inner, moved = _numbered(original)
        if moved and not number:
            yield inner + suffix, moved
    if suffix:
        yield stem, ""
        yield body, number


def _originals(body: str) -> Iterator[str]:
    """The stems of which this may be the edited copy's; a long name is cut anywhere."""
    if body.endswith(EDITED):
        yield from (body[: -len(end)] for end in EDITED if body.endswith(end))
    start, hyphen, rest = body.rpartition("-")
    is_cut = len(body) >= LONG_NAME and len(rest) + 1 >= SHORTEST_CUT
    if is_cut and any(end.startswith(hyphen + rest) for end in EDITED):
        yield start


def original_stem(name: str) -> str:
    """The stem of a file's name, or of the picture that it is the edited copy of by its name."""
    body, number = _numbered(_split(name)[0])
    if (phone := EDITED_ON_PHONE.fullmatch(body)) is not None:
        return f"{phone[1]}{phone[2]}{number}"
    for end in EDITED_ELSEWHERE:
        body = body.removesuffix(end)
    return next(_originals(body), body) + number


def _numbered(stem: str) -> tuple[str, str]:
    """A stem without the number in parentheses at its end, and that."""
    if stem[-1:] != ")":
        return stem, ""
    found = NUMBERED.fullmatch(stem)
    return (found[1], found[2] or "") if found else (stem, "")


def _key(body: str, number: str) -> str:
    """One text for both: a tuple takes twice the memory."""
    return f"{body}/{number}" if number else body


def suffix_of(name: str) -> str:
    """As PurePath.suffix, in a tenth of the time: a listing asks for every file."""
    dot = name.rfind(".")
    if 0 < dot < len(name) - 1 and (name[0] != "." or name[:dot].strip(".")):
        return name[dot:]
    return ""


def _split(name: str) -> tuple[str, str]:
    """Stem and suffix."""
    suffix = suffix_of(name)
    return (name[: -len(suffix)], suffix) if suffix else (name, "")


def _folded(name: str) -> str:
    return name.lower() if name.isascii() else unicodedata.normalize("NFC", name).casefold()
