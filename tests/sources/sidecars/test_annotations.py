import json
from typing import Any

import pytest

from app.errors import AnnotationInvalid
from app.pictures.metadata.description import MAX_CAPTION_CHARACTERS
from app.sources.sidecars.annotations import (
    MAX_METADATA_CHARACTERS,
    MAX_METADATA_DEPTH,
    MAX_SIDECAR_BYTES,
    MAX_TABLE_BYTES,
    MAX_TABLE_COLUMNS,
    MAX_TABLE_ROWS,
    Annotation,
    check_caption,
    parse_metadata,
    parse_sidecar,
    parse_table,
)


def nested(levels: int) -> str:
    """An object of so many levels, the number in its middle included."""
    return '{"a":' + "[" * (levels - 2) + "1" + "]" * (levels - 2) + "}"


@pytest.mark.parametrize(
    "text",
    [
        '{"place": "Lisbon", "tags": ["é", 1, null, true, {"x": -0.5}]}',
        r'{"a": "\ud83d\ude00 \\u0000"}',
        json.dumps({"a": 10**400}),
        json.dumps({"a": "x" * (MAX_METADATA_CHARACTERS - 9)}),
        nested(MAX_METADATA_DEPTH),
        "{}",
    ],
)
def test_metadata_that_can_be_stored_is_kept_as_sent(text: str) -> None:
    assert parse_metadata(text) == json.loads(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("no JSON", "this is not JSON: Expecting value"),
        ("", "this is not JSON"),
        ("[1]", 'send a JSON object, for example {"place": "Lisbon"}.'),
        ("null", "send a JSON object"),
        ('{"a": NaN}', "NaN is not a JSON number"),
        ('{"a": [-Infinity]}', "-Infinity is not a JSON number"),
        ('{"a": 1e999}', "this is not JSON: Out of range"),
        ('{"a": %s}' % ("9" * 5000), "this is not JSON: Exceeds"),
        (r'{"a": ["\u0000"]}', "a NUL or half of a surrogate pair"),
        (r'{"a\u0000": 1}', "a NUL"),
        (r'{"a": {"b": "\ud800"}}', "half of a surrogate pair"),
        (nested(MAX_METADATA_DEPTH + 1), "nested deeper than 32 levels"),
        ('{"a":' * 900 + "1" + "}" * 900, "nested deeper"),
        ('{"a":' * 2500 + "1" + "}" * 2500, ""),
        (json.dumps({"a": "x" * (MAX_METADATA_CHARACTERS - 8)}), "more than 20,000 characters"),
        ('{"a": ' + "[" + "1e300," * 2800 + "1]}", "more than 20,000 characters"),
    ],
)
def test_metadata_that_cannot_be_stored_is_refused(text: str, reason: str) -> None:
    with pytest.raises(AnnotationInvalid) as refused:
        parse_metadata(text)
    assert str(refused.value).startswith("metadata: ")
    assert reason in str(refused.value)


def test_captions_are_bounded_and_storable() -> None:
    longest = "é" * MAX_CAPTION_CHARACTERS
    assert check_caption(longest) == longest
    for text in (longest + "x", "a\0b", "\udfff"):
        with pytest.raises(AnnotationInvalid, match=r"^caption: "):
            check_caption(text)


@pytest.mark.parametrize(
    ("sidecar", "expected"),
    [
        ({"caption": "A dog", "metadata": {"a": 1}}, Annotation("A dog", {"a": 1})),
        ({"a": 1, "b": [2]}, Annotation(None, {"a": 1, "b": [2]})),
        ({"a": 1, "metadata": {"a": 2, "c": 3}}, Annotation(None, {"a": 2, "c": 3})),
        ({"metadata": "words", "text": "t"}, Annotation(None, {"metadata": "words", "text": "t"})),
        (
            {"metadata": {"metadata": 1, "caption": 2}},
            Annotation(None, {"metadata": 1, "caption": 2}),
        ),
        ({"caption": ""}, Annotation()),
        ({"caption": None}, Annotation()),
        ({}, Annotation()),
    ],
)
def test_a_sidecar_is_read(sidecar: dict[str, Any], expected: Annotation) -> None:
    for encoding in ("utf-8", "utf-8-sig"):
        assert parse_sidecar(json.dumps(sidecar).encode(encoding)) == expected


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"{", "The sidecar: this is not JSON"),
        (b"[]", "is not a JSON object"),
        (b'{\n"caption": "\xff"}', "line 2: this is not UTF-8"),
        (b'{"caption": 5}', "caption: this is not text"),
        (rb'{"caption": "\u0000"}', "caption: a NUL"),
        (rb'{"a": "\u0000"}', "metadata: a NUL"),
        (b'{"a": "%s"}' % (b"x" * MAX_METADATA_CHARACTERS), "metadata: more than 20,000"),
        (b'{"caption": "a"}'.ljust(MAX_SIDECAR_BYTES + 1), "more than 100,000 bytes"),
    ],
)
def test_a_malformed_sidecar_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(AnnotationInvalid, match=reason):
        parse_sidecar(data)


def test_a_sidecar_may_have_its_full_length() -> None:
    assert parse_sidecar(b'{"a": 1}'.ljust(MAX_SIDECAR_BYTES)).metadata == {"a": 1}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_csv_is_read(delimiter: str, encoding: str, newline: str) -> None:
    rows = [
        ["file_name", "Caption", "place"],
        ["a.jpg", '"A ""big"" dog"', "Évora"],
        ["b/c.jpg", "", ""],
    ]
    text = newline.join(delimiter.join(row) for row in rows) + newline * 2
    assert parse_table("metadata.csv", text.encode(encoding)) == {
        "a.jpg": Annotation('A "big" dog', {"place": "Évora"}),
        "b/c.jpg": Annotation(),
    }


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("5", 5),
        ("-3", -3),
        ("2.50", 2.5),
        ("0", 0),
        ("007", "007"),
        ("+1", "+1"),
        ("1e5", "1e5"),
        ("9" * 16, "9" * 16),
        ("٣", "٣"),
        ("true", "true"),
        (" 5", " 5"),
        (".5", ".5"),
    ],
)
def test_plain_numbers_of_a_csv_become_numbers(cell: str, value: object) -> None:
    table = parse_table("metadata.csv", f"file,caption,n\n1.50,12,{cell}\n".encode())
    assert table == {"1.50": Annotation("12", {"n": value})}
    assert type(table["1.50"].metadata["n"]) is type(value)


@pytest.mark.parametrize(
    ("kind", "cell", "value"),
    [
        ("boolean", "true", True),
        ("boolean", " FALSE ", False),
        ("boolean", "yes", "yes"),
        ("boolean", "1", 1),
        ("tags", "red", ["red"]),
        ("tags", '"red, blue"', ["red", "blue"]),
        ("tags", "red;blue ;; 5", ["red", "blue", "5"]),
        ("tags", ";", []),
        ("number", "2.50", 2.5),
        ("number", "many", "many"),
        ("text", "1984", "1984"),
        ("text", "true", "true"),
        ("date", "2024-05-31", "2024-05-31"),
        ("date", "2024", "2024"),
    ],
)
def test_a_cell_of_a_csv_is_read_as_the_type_of_its_field(
    kind: str, cell: str, value: object
) -> None:
    table = f"file,a,b\nx.png,{cell},true\n".encode()
    found = parse_table("metadata.csv", table, {"a": kind})["x.png"].metadata
    assert found == {"a": value, "b": "true"}
    assert type(found["a"]) is type(value)
    row = b'{"file": "x.png", "a": "true"}'
    assert parse_table("metadata.jsonl", row, {"a": kind})["x.png"].metadata == {"a": "true"}


@pytest.mark.parametrize(
    ("header", "file", "caption"),
    [
        ("name,FILE_NAME,caption,text", "2", "3"),
        ("name,text,image,caption", "3", "4"),
        ("path,name,text,x", "1", "3"),
        ("x,filename,file,path", "2", None),
    ],
)
def test_the_first_column_of_the_list_counts(header: str, file: str, caption: str | None) -> None:
    (found,) = parse_table("metadata.csv", f"{header}\n1,2,3,4\n".encode()).items()
    assert (found[0], found[1].caption) == (file, caption)
    assert len(found[1].metadata) == (3 if caption is None else 2)


def test_a_csv_column_without_a_name_is_left_out() -> None:
    assert parse_table("metadata.csv", b",file,\n0,a.jpg,x\n") == {"a.jpg": Annotation()}


def test_a_quoted_cell_may_span_lines() -> None:
    table = parse_table("metadata.csv", b'file,caption\na.jpg,"one\ntwo, three"\n')
    assert table == {"a.jpg": Annotation("one\ntwo, three")}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("file,a\nx.jpg\n", "line 2: 1 cells under 2 columns"),
        ("file,a\nx.jpg,1\ny.jpg,1,2\n", "line 3: 3 cells under 2 columns"),
        ("file,a,A\nx.jpg,1,2\n", "line 1: two columns are named 'a'"),
        ("title,a\nx,1\n", "line 1: no column is named file_name or filename"),
        ("", "line 1: no column"),
        ("file,a\nx.jpg,\0\n", "line 2: NUL"),
        ("file,a\nx.jpg,%s\n" % ("y" * 200_000), "line 2: field larger"),
        ('file,a\nx.jpg,"y\nz.jpg,1\n', "line 3: unexpected end of data"),
        ('file,a\nx.jpg,"y"z\n', "line 2: ',' expected"),
        ("file,name\n,b.jpg\n", "line 2: no file is named"),
        ("file,a\nx.jpg,1\nx.jpg,2\n", "line 3: 'x.jpg' has a row already"),
        ("file,caption\nx.jpg,%s\n" % ("y" * 2001), "line 2: caption: more than 2,000"),
        ("file,a\nx.jpg,%s\n" % ("y" * 20_000), "line 2: metadata: more than 20,000"),
        ("file," + ",".join(map(str, range(MAX_TABLE_COLUMNS))), "line 1: more than 1,000 col"),
        ("file\n" + "x\n" * 2 + "\udcff", "line 4: this is not UTF-8"),
    ],
)
def test_a_malformed_csv_names_table_and_line(text: str, reason: str) -> None:
    with pytest.raises(AnnotationInvalid) as refused:
        parse_table("b/metadata.csv", text.encode(errors="surrogateescape"))
    assert str(refused.value).startswith(f"b/metadata.csv, {reason}")


def test_lines_of_json_are_read() -> None:
    text = (
        '{"file_name": "a.jpg", "Text": "A dog", "n": "5", "tags": ["x"]}\r\n\n'
        '{"file_name": " b.jpg", "caption": null, "metadata": {"n": 1}, "line": "\u2028"}'
    )
    assert parse_table("metadata.jsonl", text.encode()) == {
        "a.jpg": Annotation("A dog", {"n": "5", "tags": ["x"]}),
        "b.jpg": Annotation(None, {"line": "\u2028", "n": 1}),
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"file": "a"}\n{', "line 2: this is not JSON"),
        ('{"file": "a"}\n\n[]', "line 3: this is not a JSON object"),
        ('{"caption": "a"}', "line 1: no file is named"),
        ('{"file": 5}', "line 1: no file is named"),
        ('{"file": "a"}\n{"file": "a"}', "line 2: 'a' has a row already"),
        ('{"file": "a", "caption": ["a"]}', "line 1: caption: this is not text"),
        (r'{"file": "a", "b": "\u0000"}', "line 1: metadata: a NUL"),
        ('{"file": "a"}' + " " * MAX_SIDECAR_BYTES, "line 1: more than 100,000 characters"),
    ],
)
def test_malformed_lines_of_json_name_table_and_line(text: str, reason: str) -> None:
    with pytest.raises(AnnotationInvalid) as refused:
        parse_table("metadata.jsonl", text.encode())
    assert str(refused.value).startswith(f"metadata.jsonl, {reason}")


def test_tables_are_bounded() -> None:
    rows = b"".join(b"%d\n" % n for n in range(MAX_TABLE_ROWS))
    assert len(parse_table("metadata.csv", b"file\n" + rows)) == MAX_TABLE_ROWS
    with pytest.raises(AnnotationInvalid, match=r"line 100002: more than 100,000 rows"):
        parse_table("metadata.csv", b"file\n" + rows + b"x\n")
    with pytest.raises(AnnotationInvalid, match="more than 20 MB"):
        parse_table("metadata.csv", b"file\n".ljust(MAX_TABLE_BYTES + 1))
