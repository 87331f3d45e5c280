"""What maps one thing to another says each key once; the last of two never wins."""

from __future__ import annotations

import pytest

from pedseg.tables import LazyMapping, one_to_one, read_json, read_rows, unique


def test_values_are_made_when_they_are_looked_up():
    asked = []
    lengths = LazyMapping(["ab", "c", "ab"], lambda key: asked.append(key) or len(key))
    assert list(lengths) == ["ab", "c"] and len(lengths) == 2 and not asked
    assert lengths["ab"] == 2 and asked == ["ab"]
    with pytest.raises(KeyError):
        lengths["d"]


def test_every_key_once():
    assert unique([("a", 1), ("b", 1)]) == {"a": 1, "b": 1}
    assert one_to_one([("a", 1), ("b", 2)]) == {"a": 1, "b": 2}
    assert unique([]) == {}


@pytest.mark.parametrize("pairs", [[("a", 1), ("a", 2)], [("a", 1), ("a", 1)]])
def test_a_key_twice(pairs):
    with pytest.raises(ValueError, match="'a' is there twice"):
        unique(pairs)


def test_a_value_twice():
    with pytest.raises(ValueError, match="1 is there twice, as a and as b"):
        one_to_one([("a", 1), ("b", 1)])


@pytest.mark.parametrize("text", ['{"a": 1, "a": 1}', '{"x": [{"a": 1, "b": 2, "a": 3}]}', "{", "[" * 100_000])
def test_json_that_is_not_clear(text, tmp_path):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ValueError):
        read_json(tmp_path / "x.json")


def test_json_with_a_byte_order_mark(tmp_path):
    (tmp_path / "x.json").write_text('{"center": "Zürich"}', encoding="utf-8-sig")
    assert read_json(tmp_path / "x.json") == {"center": "Zürich"}


def test_a_table(tmp_path):
    (tmp_path / "x.csv").write_text("a;b\n1;2\n\n3;\n")
    assert read_rows(tmp_path / "x.csv", "a", ";") == [{"a": "1", "b": "2"}, {"a": "3", "b": ""}]
    for text, message in (
        ("a;b;a\n1;2;3\n", "'a'"),
        ("a;b\n1\n", "row of 1"),
        ("b\n1\n", "column a"),
        ("", "column a"),
    ):
        (tmp_path / "x.csv").write_text(text)
        with pytest.raises(ValueError, match=message):
            read_rows(tmp_path / "x.csv", "a", ";")
