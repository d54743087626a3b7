"""Problems of a request as pydantic 1 words them, which Idios' clients know.

    missing     "Field required"              ─▶  value_error.missing  "field required"
    dict_type   "Input should be a valid …"   ─▶  type_error.dict      "value is not a valid dict"

What pydantic 1 never said stays as it is.
"""

import json
from collections.abc import Mapping
from typing import Any

#: A kind of pydantic 2 ─▶ the kind and message of pydantic 1, with ``{0}`` for the limit or pattern that pydantic 2 has
#: under the third name.
_WORDS: dict[str, tuple[str, str, str]] = {
    "missing": ("value_error.missing", "field required", ""),
    "string_type": ("type_error.str", "str type expected", ""),
    "dict_type": ("type_error.dict", "value is not a valid dict", ""),
    "model_type": ("type_error.dict", "value is not a valid dict", ""),
    "list_type": ("type_error.list", "value is not a valid list", ""),
    "bool_type": ("type_error.bool", "value could not be parsed to a boolean", ""),
    "bool_parsing": ("type_error.bool", "value could not be parsed to a boolean", ""),
    "int_type": ("type_error.integer", "value is not a valid integer", ""),
    "int_parsing": ("type_error.integer", "value is not a valid integer", ""),
    "int_from_float": ("type_error.integer", "value is not a valid integer", ""),
    "float_type": ("type_error.float", "value is not a valid float", ""),
    "float_parsing": ("type_error.float", "value is not a valid float", ""),
    "greater_than_equal": (
        "value_error.number.not_ge", "ensure this value is greater than or equal to {0}", "ge",
    ),
    "less_than_equal": ("value_error.number.not_le", "ensure this value is less than or equal to {0}", "le"),
    "string_too_short": (
        "value_error.any_str.min_length", "ensure this value has at least {0} characters", "min_length",
    ),
    "string_too_long": (
        "value_error.any_str.max_length", "ensure this value has at most {0} characters", "max_length",
    ),
    "string_pattern_mismatch": ("value_error.str.regex", 'string does not match regex "{0}"', "pattern"),
    "literal_error": ("value_error.const", "unexpected value; permitted: {0}", "expected"),
}  # fmt: skip
_CONTEXT: dict[str, str] = {"ge": "limit_value", "le": "limit_value", "min_length": "limit_value",
                            "max_length": "limit_value", "pattern": "pattern"}  # fmt: skip


def in_old_words(found: Mapping[str, Any]) -> dict[str, Any]:
    """Returns ``msg``, ``type`` and, where pydantic 1 gives one, ``ctx`` of a problem that pydantic 2 found."""
    kind = found["type"]
    if kind.endswith("_type") and found.get("input", ...) is None:
        return {"msg": "none is not an allowed value", "type": "type_error.none.not_allowed"}
    if kind not in _WORDS:
        return {"msg": found["msg"], "type": kind}
    old, message, limit = _WORDS[kind]
    value = found.get("ctx", {}).get(limit)
    context = {"ctx": {_CONTEXT[limit]: value}} if limit in _CONTEXT else {}
    return {"msg": message.format(value), "type": old, **context}


def bad_json(text: bytes) -> dict[str, Any]:
    """Returns ``loc``, ``msg``, ``type`` and ``ctx`` of a body that is no JSON: where it breaks off."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        context = {"msg": error.msg, "pos": error.pos, "lineno": error.lineno, "colno": error.colno}
        return {"loc": ["body", error.pos], "msg": str(error), "type": "value_error.jsondecode", "ctx": context}
    except (ValueError, RecursionError):  # no UTF-8, or too deep
        pass
    return {"loc": ["body"], "msg": "There was an error parsing the body", "type": "value_error.jsondecode"}
