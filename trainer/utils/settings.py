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
from trainer.utils.text import did_you_mean, value_text

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
Switch = Annotated[bool, Strict()]
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
    "bool_parsing": "true or false",
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
    names of keys ("ava: leave_out") with their new ones, which the message about an unknown key gives.
    """
    try:
        return _adapter(kind).validate_python(content)
    except ValidationError as error:
        raise InputError(f"{where}: {_explain(kind, error, renamed or {})}") from error


def plain(content, changed_only=False) -> dict:
    """Return an object of ``settings`` as nested mappings and lists; ``changed_only``: without defaults."""
    return _adapter(type(content)).dump_python(content, mode="json", exclude_defaults=changed_only)


def json_schema(kind) -> dict:
    """Return the JSON schema of a class of ``settings``, for editors."""
    return _adapter(kind).json_schema()


def _explain(kind, error, renamed):
    """Return pydantic's first finding as one line: the key, what was expected and what is there."""
    loc, found, choices = _first_problem(kind, error.errors(include_url=False))
    key = ": ".join(str(part) for part in loc if part != "[key]")  # pydantic's mark of a wrong key
    if found["type"] == "unexpected_keyword_argument":
        return _explain_unknown_key(kind, loc, renamed.get(key))
    if found["type"] == "value_error":
        words = str(found["ctx"]["error"])
    elif found["type"] == "missing":
        words = "missing"
    elif found["type"] == "float_type" and re.fullmatch(r"[-+]?[0-9.]+[eE][-+]?[0-9]+", str(found["input"])):
        words = f"{found['input']!r} is text in YAML; a number with an exponent needs a dot and a sign, as in 1.0e-3"
    else:
        expected, got = choices or _expected(found), value_text(found["input"])
        words = f"expected {expected}, got {got}"
        if found["type"] in ("int_type", "float_type", "bool_type") and _is_quoted(found["input"]):
            words = (
                f"expected {expected}, got the text {got}. In a file, write it without quotes. Values within {{ }} of "
                "--config are always text: set them in a file"
            )
    return f"{key}: {words}" if key else words


def _is_quoted(value):
    """Return whether a value is text that would be a number, true or false without its quotes."""
    return isinstance(value, str) and re.fullmatch(r"[-+]?[0-9]+(\.[0-9]+)?|true|false", value)


def _explain_unknown_key(kind, loc, new_name):
    *above, name = map(str, loc)
    if new_name:
        return f"{': '.join([*above, name])}: unknown key; its new name is {new_name}"
    known = [field.name for field in dataclass_fields(_kind_at(kind, loc[:-1]))]
    return ": ".join([*above, f"unknown key {name}{did_you_mean(name, known)}; known: {', '.join(known)}"])


def _expected(found):
    """Return what a setting should be, in the words of this project or else of pydantic."""
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


def _first_problem(kind, errors):
    """Return keys, pydantic's finding and, for a value that has none of several possible types, these types."""
    found = errors[0]
    for depth, part in enumerate(found["loc"]):
        options = _types(kind)
        if len(options) > 1 and not isinstance(part, int):
            keys = found["loc"][:depth]  # pydantic's location goes on with the type that it tried
            for error in errors:
                inner = error["loc"][depth + 1 :]
                if error["loc"][:depth] == keys and (inner or not error["type"].endswith(("_type", "literal_error"))):
                    return (*keys, *inner), error, None  # of a possible type, but wrong
            example = ", such as [a, b]" if any(get_origin(option) is tuple for option in options) else ""
            return keys, found, " or ".join(dict.fromkeys(map(type_text, options))) + example
        kind = _member(kind, part)
    return found["loc"], found, None


def _kind_at(kind, loc):
    """Return the type of the setting at ``loc``, a sequence of keys and positions below ``kind``."""
    for part in loc:
        kind = _member(kind, part)
    return _types(kind)[0]


def _member(kind, part):
    """Return the type of a key or item of a setting of type ``kind``; None if it has none."""
    kind = _types(kind)[0]
    if is_dataclass(kind):
        return get_type_hints(kind, include_extras=True).get(part)
    if get_origin(kind) in (dict, tuple):
        return next(inner for inner in reversed(get_args(kind)) if inner is not ...)
    return None


def _types(kind):
    """Return the types that a setting may have, besides null."""
    return [option for option in _options(kind) if option is not NoneType] or [None]


def _options(kind):
    """Return the types that a setting may have."""
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
    """Yield (key, type, default or ``MISSING``, sentence) of each setting below ``kind``; keys are joined by dots."""
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
