"""Nothing is read or written that isn't JSON, although Python would."""

import pytest

from hashlake.client.json_text import decode, encode


@pytest.mark.parametrize("value", [float("nan"), [float("-inf")], {"a": float("inf")}])
def test_what_json_cannot_say_is_not_written(value: object) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode(value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("NaN", "NaN is no number that JSON can say"),
        ('{"a": [-Infinity]}', "-Infinity is no number that JSON can say"),
        ("[1e999]", "1e999 is no number that JSON can say"),
        ("", "not JSON: Expecting value at character 1"),
        ('{"a": 1', "not JSON: Expecting ',' delimiter at character 8"),
        ("[" * 100_000, "JSON nested too deeply"),
    ],
)
def test_what_is_no_json_is_not_read(text: str, complaint: str) -> None:
    with pytest.raises(ValueError) as caught:
        decode(text)
    assert str(caught.value) == complaint


def test_numbers_stay_what_they_are() -> None:
    text = '{"whole":12345678901234567890,"real":1.0,"small":1e-300,"text":"\\u00e9"}'
    assert encode(decode(text)).decode() == text
