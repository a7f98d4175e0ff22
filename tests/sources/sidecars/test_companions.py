"""Which sidecar is which picture's (issue 16, lines 3, 5 and 13)."""

import pytest

from app.sources.sidecars.companions import CUT, SUPPLEMENT, Companions, is_album

LONG = "PXL_20230714_123456789.PORTRAIT-01.COVER.jpg"  # 44 characters


@pytest.mark.parametrize(
    ("picture", "sidecar"),
    [
        ("IMG_1.jpg", "IMG_1.jpg.json"),
        ("IMG_1.jpg", "img_1.JPG.json"),
        ("IMG_1.jpg", "IMG_1.jpg.xmp"),
        ("IMG_1.jpg", "IMG_1.xmp"),
        ("IMG_1.JPG", "img_1.XMP"),
        ("Cafe\u0301.jpg", "Café.jpg.json"),
        ("IMG_1.jpg", "IMG_1.jpg.supplemental-metadata.json"),
        ("IMG_1.jpg", "IMG_1.jpg.supplemental-meta.json"),
        ("IMG_1.jpg", "IMG_1.jpg.s.json"),
        ("IMG_1.jpg", "IMG_1.jpg..json"),
        ("IMG_1(1).jpg", "IMG_1.jpg.supplemental-metadata(1).json"),
        ("IMG_1(1).jpg", "IMG_1.jpg(1).json"),
        ("IMG(1)(2).jpg", "IMG(1).jpg.supplemental-metadata(2).json"),
        ("IMG(1).jpg", "IMG(1).jpg.supplemental-metadata.json"),
        ("IMG_1-edited.jpg", "IMG_1.jpg.supplemental-metadata.json"),
        ("IMG_1-bearbeitet.jpg", "IMG_1.jpg.supplemental-metadata.json"),
        ("IMG_1-modifié.jpg", "IMG_1.jpg.supplemental-metadata.json"),
        ("IMG_1-編集済み.jpg", "IMG_1.jpg.json"),
        ("IMG_1-edited(1).jpg", "IMG_1.jpg.supplemental-metadata(1).json"),
        ("IMG(1)-edited.jpg", "IMG.jpg.supplemental-metadata(1).json"),
        ("IMG_1.jpg", "IMG_1.supplemental-metadata.json"),  # its name has no extension at Google
        ("IMG_1(1).jpg", "IMG_1.supplemental-metadata(1).json"),
        (LONG, (LONG + SUPPLEMENT)[:CUT] + ".json"),
        (f"{LONG[:-4]}-edit.jpg", (LONG + SUPPLEMENT)[:CUT] + ".json"),
        (f"{LONG[:-4]}(1).jpg", (LONG + SUPPLEMENT)[:CUT] + "(1).json"),
        ("x" * 47 + ".jpg", "x" * CUT + ".json"),
    ],
)
def test_a_sidecar_is_found_by_its_name(picture: str, sidecar: str) -> None:
    found = Companions.among([picture, sidecar])
    assert found.of(picture) == (sidecar,)
    assert found.strays([picture, sidecar]) == set()


@pytest.mark.parametrize(
    ("picture", "sidecar"),
    [
        ("IMG_1.jpg", "IMG_12.jpg.json"),
        ("IMG_1.jpg", "IMG_1.jpg.supplemental-metadata(1).json"),
        ("IMG_1(2).jpg", "IMG_1.jpg.supplemental-metadata(1).json"),
        ("IMG_1-edge.jpg", "IMG_1.jpg.supplemental-metadata.json"),
        ("IMG_1-edit.jpg", "IMG_1.jpg.supplemental-metadata.json"),  # only long names are cut
        ("IMG_1.jpg", "IMG.json"),
        ("x" * 20 + ".jpg", "x" * 19 + ".json"),
    ],
)
def test_a_sidecar_of_another_is_not_taken(picture: str, sidecar: str) -> None:
    assert Companions.among([picture, sidecar]).of(picture) == ()


def test_a_picture_has_its_own_sidecar_before_that_of_a_moved_number() -> None:
    names = ["a.jpg", "a(1).jpg"]
    sidecars = ["a.jpg.json", "a.jpg.supplemental-metadata(1).json", "a(1).jpg.json"]
    found = Companions.among([*names, *sidecars])
    assert [found.of(name) for name in names] == [("a.jpg.json",), ("a(1).jpg.json",)]
    assert found.strays([*names, *sidecars]) == {"a.jpg.supplemental-metadata(1).json"}


def test_of_names_that_differ_in_case_each_has_its_own_sidecar() -> None:
    found = Companions.among(["a.jpg", "a.JPG", "a.jpg.json", "b.JPG", "b.jpg.xmp", "a-edited.jpg"])
    assert [found.of(name) for name in ("a.jpg", "a.JPG", "b.JPG", "a-edited.jpg")] == [
        ("a.jpg.json",),
        (),
        ("b.jpg.xmp",),
        ("a.jpg.json",),
    ]


def test_several_sidecars_come_in_order_and_an_albums_last() -> None:
    names = ["a.jpg.json", "a.jpg.xmp", "a.xmp", "a.jpg.supplemental-metadata.json"]
    found = Companions.among(["a.jpg", "Metadaten.json", *names])
    assert found.of("a.jpg") == (*names, "Metadaten.json")


@pytest.mark.parametrize("name", ["metadata.json", "métadonnées.json", "Metadaten(1).json"])
def test_an_albums_file_is_known_in_the_accounts_language(name: str) -> None:
    assert is_album(name)
    assert not is_album("a.jpg.json")


def test_names_that_are_not_takeouts_are_no_strays() -> None:
    names = ["package.json", "labels.json", "b.jpg.supplemental-metadata.json", "c.png.json"]
    assert Companions.among(names).strays(names) == set(names[2:])


def test_a_clip_of_the_same_stem_is_the_moving_part_of_a_still() -> None:
    """Issue 16, line 13."""
    found = Companions.among(["IMG_1.HEIC", "IMG_1.MOV", "IMG_2.mov", "IMG_1.txt"])
    assert [found.is_clip(name) for name in ("IMG_1.MOV", "IMG_2.mov", "IMG_1.HEIC")] == [
        True,
        False,
        False,
    ]
