"""Settings: each kind of wrong value is one line that says where it is, what was expected and what is there."""

from typing import Annotated, Literal

import pytest
from pydantic import Field, model_validator

from trainer.utils.errors import InputError
from trainer.utils.settings import (
    MISSING,
    Count,
    Fraction,
    Number,
    PathText,
    Positive,
    Text,
    Whole,
    documented_keys,
    json_schema,
    read,
    settings,
)


@settings
class Inner:
    """Settings of a part."""

    size: Count
    """px; a size"""
    range: tuple[Count, Count]
    """two sizes"""


@settings
class Outer:
    """Settings of every type."""

    count: Count
    """a count,
    at least 1"""
    whole: Whole
    number: Number
    positive: Positive
    fraction: Fraction
    name: Text
    path: PathText | None
    kind: Literal["cuda", "cpu"]
    films: PathText | tuple[Text, ...]
    """files: a path or names"""
    chosen: Literal["all"] | tuple[Text, ...]
    seeds: Annotated[tuple[Whole, ...], Field(min_length=1)]
    inner: Inner
    recipes: dict[str, dict[Literal["ava", "charades"], Inner]]
    flag: bool = False
    limited: Annotated[Count, Field(le=31)] = 31

    @model_validator(mode="after")
    def _check(self):
        if self.count > 100:
            raise ValueError(f"count: expected at most 100, got {self.count}")
        return self


GOOD = {
    "count": 3,
    "whole": 0,
    "number": 0,
    "positive": 1e-3,
    "fraction": 0.5,
    "name": "moco",
    "path": None,
    "kind": "cpu",
    "films": ["a.mkv"],
    "chosen": "all",
    "seeds": [0, 1],
    "inner": {"size": 1, "range": [2, 3]},
    "recipes": {"cnn": {"ava": {"size": 4, "range": [5, 6]}}},
}


def test_right_settings_are_read():
    outer = read(Outer, GOOD, "my.yaml")
    assert (outer.count, outer.number, outer.flag, outer.limited) == (3, 0.0, False, 31)
    assert outer.recipes["cnn"]["ava"] == Inner(4, (5, 6))
    assert read(Outer, GOOD | {"films": "films.txt", "path": "/a~b"}, "my.yaml").films == "films.txt"
    assert read(Outer, GOOD | {"chosen": ["a", "b"]}, "my.yaml").chosen == ("a", "b")


def test_settings_cannot_be_changed():
    with pytest.raises(AttributeError):
        read(Outer, GOOD, "my.yaml").count = 4


INNER = {"size": 1, "range": [2, 3]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        # keys
        ({"cuont": 3}, r"unknown key cuont \(did you mean count\?\); known: count, whole, number, "),
        ({"inner": INNER | {"sized": 3}}, r"inner: unknown key sized \(did you mean size\?\); known: size, range"),
        ({"recipes": {"cnn": {"ava": INNER | {"crop": 1}}}}, "recipes: cnn: ava: unknown key crop; known: size, range"),
        (
            {"recipes": {"cnn": {"kinetics": INNER}}},
            "recipes: cnn: kinetics: expected 'ava' or 'charades', got ",
        ),
        ({"inner": {"size": 1}}, "inner: range: missing"),
        # numbers
        ({"count": "many"}, "count: expected a whole number, got 'many'"),
        ({"count": 3.0}, "count: expected a whole number, got 3.0"),
        ({"count": True}, "count: expected a whole number, got True"),
        ({"count": None}, "count: expected a whole number, got None"),
        ({"count": 0}, "count: expected a number greater than or equal to 1, got 0"),
        ({"whole": -1}, "whole: expected a number greater than or equal to 0, got -1"),
        ({"limited": 32}, "limited: expected a number less than or equal to 31, got 32"),
        (
            {"number": "1e-3"},
            "number: '1e-3' is text in YAML; .* exponent needs a dot and a sign, as in 1.0e-3",
        ),
        ({"number": "a"}, "number: expected a number, got 'a'"),
        ({"number": False}, "number: expected a number, got False"),
        ({"number": float("nan")}, "number: expected a finite number, got nan"),
        ({"number": float("inf")}, "number: expected a finite number, got inf"),
        ({"number": -0.5}, "number: expected a number greater than or equal to 0, got -0.5"),
        ({"positive": 0}, "positive: expected a number greater than 0, got 0"),
        ({"fraction": 1}, "fraction: expected a number less than 1, got 1"),
        (
            {"count": "3"},
            "count: expected a whole number, got the text '3'. In a file, write it without quotes. Values within "
            r"\{ \} of --config are always text: set them in a file$",
        ),
        ({"number": "0.5"}, "number: expected a number, got the text '0.5'. In a file, "),
        ({"count": 0.5}, "count: expected a whole number, got 0.5$"),
        # text
        ({"name": 3}, "name: expected text, got 3"),
        ({"name": ""}, "name: expected at least 1 character, got ''"),
        ({"path": "~/films"}, "path: expected a path written out, without ~, got '~/films'"),
        ({"path": ""}, "path: expected a path written out, without ~, got ''"),
        ({"kind": "gpu"}, "kind: expected 'cuda' or 'cpu', got 'gpu'"),
        # lists and mappings
        ({"seeds": 1}, r"seeds: expected a list, such as \[a, b\], got 1"),
        ({"seeds": []}, r"seeds: expected at least 1 item, got \[\]"),
        ({"seeds": [0, "one"]}, "seeds: 1: expected a whole number, got 'one'"),
        ({"inner": INNER | {"range": [2]}}, "inner: range: 1: missing"),
        ({"inner": INNER | {"range": [2, 3, 4]}}, r"inner: range: expected at most 2 items, got \[2, 3, 4\]"),
        ({"inner": INNER | {"range": [2, 0]}}, "inner: range: 1: expected a number greater than or equal to 1, got 0"),
        ({"inner": 3}, "inner: expected a mapping of keys, got 3"),
        ({"inner": None}, "inner: expected a mapping of keys, got None"),
        ({"recipes": ["cnn"]}, r"recipes: expected a mapping of keys, got \['cnn'\]"),
        ({"recipes": {"cnn": 3}}, "recipes: cnn: expected a mapping of keys, got 3"),
        ({"recipes": {"cnn": {"ava": 3}}}, "recipes: cnn: ava: expected a mapping of keys, got 3"),
        ({"flag": "perhaps"}, "flag: expected true or false, got 'perhaps'"),
        # several types
        ({"films": 3}, r"films: expected text or list of text, such as \[a, b\], got 3"),
        ({"films": "~/films.txt"}, "films: expected a path written out, without ~, got '~/films.txt'"),
        ({"films": ["a.mkv", 3]}, "films: 1: expected text, got 3"),
        ({"chosen": "moco"}, r"chosen: expected all or list of text, such as \[a, b\], got 'moco'"),
        ({"chosen": ["moco", ""]}, "chosen: 1: expected at least 1 character, got ''"),
        # settings that contradict each other
        ({"count": 101}, "count: expected at most 100, got 101"),
    ],
)
def test_a_wrong_value_is_one_line(change, message):
    with pytest.raises(InputError, match=f"^my.yaml: {message}") as refused:
        read(Outer, GOOD | change, "my.yaml")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("content", [None, "text", ["count"]])
def test_settings_that_are_no_mapping(content):
    with pytest.raises(InputError, match=r"^my.yaml: expected a mapping of keys, got "):
        read(Outer, content, "my.yaml")


def test_a_missing_key_is_named():
    with pytest.raises(InputError, match=r"^my.yaml: count: missing$"):
        read(Outer, {key: value for key, value in GOOD.items() if key != "count"}, "my.yaml")


def test_a_former_key_is_refused_with_its_new_name():
    renamed = {"amount": "count", "inner: length": "inner: size"}
    with pytest.raises(InputError, match=r"^my.yaml: amount: unknown key; its new name is count$"):
        read(Outer, GOOD | {"amount": 3}, "my.yaml", renamed)
    with pytest.raises(InputError, match=r"^my.yaml: inner: length: unknown key; its new name is inner: size$"):
        read(Outer, GOOD | {"inner": INNER | {"length": 3}}, "my.yaml", renamed)


def test_keys_are_listed_for_the_documentation():
    rows = {key: (kind, default, words) for key, kind, default, words in documented_keys(Outer)}
    assert list(rows)[:2] == ["count", "whole"]
    assert rows["count"][:2] == ("whole number", MISSING)
    assert " ".join(rows["count"][2].split()) == "a count, at least 1"
    assert rows["path"][0] == "text or null"
    assert rows["kind"][0] == "cuda or cpu"
    assert rows["films"][0] == "text or list of text"
    assert rows["chosen"][0] == "all or list of text"
    assert rows["flag"][:2] == ("true or false", False)
    assert rows["inner.size"] == ("whole number", MISSING, "px; a size")
    assert rows["recipes.<name>.<name>.size"] == ("whole number", MISSING, "px; a size")
    assert "inner" not in rows


def test_the_schema_tells_editors_the_keys():
    schema = json_schema(Outer)
    assert set(schema["properties"]) == set(GOOD) | {"flag", "limited"}
    assert set(schema["required"]) == set(GOOD)
    assert schema["additionalProperties"] is False
    assert schema["$defs"]["Inner"]["properties"]["size"]["description"] == "px; a size"
