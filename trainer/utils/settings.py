"""Settings as checked dataclasses: each setting's type, bounds and sentence stand once, where the dataclass defines it.

    @settings
    class Clip:
        num_frames: Count
        \"\"\"frames of a clip\"\"\"

``read(Clip, {"num_frames": "many"}, "my.yaml")`` raises InputError("my.yaml: num_frames: expected a whole number, got
'many'"). pydantic checks; this module puts its findings into one line, and lists keys for the documentation.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, is_dataclass
from dataclasses import fields as dataclass_fields
from functools import cache, partial
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, Field, Strict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from trainer.utils.errors import InputError

# A decorator: a frozen dataclass that refuses unknown keys, wrong types, NaN and infinity. The string below a field is
# the sentence that explains it.
settings = partial(
    dataclass,
    frozen=True,
    config=ConfigDict(extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True),
)

# Strict, as "3" and True are no numbers in a config.
Whole = Annotated[int, Strict(), Field(ge=0)]
Count = Annotated[int, Strict(), Field(ge=1)]
Number = Annotated[float, Strict(), Field(ge=0)]
Positive = Annotated[float, Strict(), Field(gt=0)]
Fraction = Annotated[float, Strict(), Field(ge=0, lt=1)]
Text = Annotated[str, Field(min_length=1)]
# A path, written out: "~" means a home directory to a shell only.
PathText = Annotated[str, Field(pattern=r"^[^~]")]

EXPECTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "bool_type": "true or false",
    "tuple_type": "a list, such as [a, b]",
    "dict_type": "a mapping of keys",
    "dataclass_type": "a mapping of keys",
}


@cache
def _adapter(kind):
    return TypeAdapter(kind)


def read(kind, content, where: str, renamed: Mapping[str, str] | None = None):
    """Return ``content``, a mapping, as a ``kind``, a class of ``settings``.

    Raises InputError with one line: ``where``, the key, what was expected and what is there. ``renamed`` holds former
    names of keys ("ava: leave_out") with their new ones, which the message about an unknown key tells.
    """
    try:
        return _adapter(kind).validate_python(content)
    except ValidationError as error:
        raise InputError(f"{where}: {_explain(kind, error, renamed or {})}") from error


def json_schema(kind) -> dict:
    """Return the JSON schema of a class of ``settings``, for editors."""
    return _adapter(kind).json_schema()


def _explain(kind, error, renamed):
    found = error.errors(include_url=False)[0]
    loc, value, problem = found["loc"], found["input"], found["type"]
    loc, choices = _without_choices(kind, loc)
    key = ": ".join(map(str, loc))
    prefix = f"{key}: " if key else ""
    if problem == "unexpected_keyword_argument":
        *parent, name = loc
        if new := renamed.get(key):
            return f"{key}: unknown key; its new name is {new}"
        above = ": ".join(map(str, parent))
        known = ", ".join(field.name for field in dataclass_fields(_kind_at(kind, parent)))
        return f"{above + ': ' if above else ''}unknown key {name}; known: {known}"
    if problem == "missing" and isinstance(loc[-1], int):
        return f"{': '.join(map(str, loc[:-1]))}: expected more items, got {value!r}"
    if problem == "missing":
        return f"{prefix}missing"
    if problem == "value_error":
        return prefix + str(found["ctx"]["error"])
    if problem == "float_type" and re.fullmatch(r"[-+]?[0-9.]+[eE][-+]?[0-9]+", str(value)):
        return f"{prefix}{value!r} is text in YAML; a number with an exponent needs a dot and a sign, as in 1.0e-3"
    return f"{prefix}expected {choices or _expected(found)}, got {value!r}"


def _expected(found):
    """What a setting should be, in the words of this project or else of pydantic."""
    if words := EXPECTED.get(found["type"]):
        return words
    if found["type"] == "string_pattern_mismatch" and found["ctx"]["pattern"] == "^[^~]":
        return "a path written out, without ~"
    if found["type"] == "string_pattern_mismatch":
        return f"text that matches {found['ctx']['pattern']}"
    words = found["msg"].removeprefix("Input should be ")
    if words.startswith(("greater", "less", "a multiple")):
        words = f"a number {words}"
    return re.sub(r"^(Tuple|List|String|Value) should have (.*?)( after validation, not \d+)?$", r"\2", words)


def _without_choices(kind, loc):
    """The part of pydantic's location that names keys, and the alternatives of a setting that has several types."""
    for depth, part in enumerate(loc):
        options = [option for option in _options(kind) if option is not NoneType]
        if len(options) > 1 and not isinstance(part, int):
            return loc[:depth], " or ".join(dict.fromkeys(type_text(option) for option in options))
        kind = _kind_at(kind, [part])
    return loc, None


def _kind_at(kind, loc):
    """The type of the setting at ``loc``, a sequence of keys and positions below ``kind``; None where there is none."""
    for part in loc:
        [kind, *_] = [option for option in _options(kind) if option is not NoneType]
        if is_dataclass(kind):
            kind = get_type_hints(kind, include_extras=True).get(part)
        elif get_origin(kind) in (dict, tuple):
            kind = get_args(kind)[-1] if get_args(kind)[-1] is not ... else get_args(kind)[0]
        else:
            return None
    [kind, *_] = [option for option in _options(kind) if option is not NoneType] or [None]
    return kind


def _options(kind):
    """The types that a setting may have."""
    if get_origin(kind) is Annotated:
        return _options(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return [inner for option in get_args(kind) for inner in _options(option)]
    return [kind]


def type_text(kind) -> str:
    """Return a type for a reader: "whole number", "list of text", "cuda or cpu"."""
    options = _options(kind)
    if len(options) > 1:
        return " or ".join(dict.fromkeys(map(type_text, options)))
    [kind] = options
    if get_origin(kind) is Literal:
        return " or ".join(map(str, get_args(kind)))
    if get_origin(kind) is tuple:
        return f"list of {type_text(get_args(kind)[0])}".replace("number", "numbers")
    words = {int: "whole number", float: "number", str: "text", bool: "true or false", NoneType: "null"}
    return words.get(kind, "mapping")


def documented_keys(kind, above=()) -> Iterator[tuple[str, str, Any, str]]:
    """Yield (key, type, default or ``MISSING``, sentence) of each setting below ``kind``, nested keys joined by dots."""
    hints = get_type_hints(kind, include_extras=True)
    for name, field in kind.__pydantic_fields__.items():
        key, [inner, *_] = (*above, name), _options(hints[name])
        while get_origin(inner) is dict:
            key, inner = (*key, "<name>"), get_args(inner)[1]
        if is_dataclass(inner):
            yield from documented_keys(inner, key)
        else:
            default = MISSING if field.is_required() else field.default
            yield ".".join(key), type_text(hints[name]), default, _sentence(kind, name)


def _sentence(kind, name):
    """Return the sentence that explains a setting; pydantic drops it from inherited ones."""
    classes = (base for base in kind.__mro__ if name in getattr(base, "__pydantic_fields__", {}))
    return next((words for base in classes if (words := base.__pydantic_fields__[name].description)), "")
