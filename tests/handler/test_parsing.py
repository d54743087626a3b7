"""Every shape that clients send becomes the same request; everything else is a 400 that says what is wrong."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler.errors import RequestError
from handler.parsing import parse
from handler.request import IndexedImage, QueryCodes, QueryEmbedding, SearchRequest, Words

IMAGE = bytes(range(256)) + b"\xfb\xff\xfe"
STANDARD = base64.b64encode(IMAGE).decode()
URL_SAFE = base64.urlsafe_b64encode(IMAGE).decode()


def test_an_object_is_understood_parsed_or_not_as_body_or_as_a_part() -> None:
    fields = {"image": STANDARD, "top_k": 3, "debug": True}
    expected = SearchRequest(IMAGE, 3, True)
    raw = json.dumps(fields).encode()
    for item in ({"body": fields}, {"body": bytearray(raw)}, {"body": raw}, {"data": fields}, {"data": bytearray(raw)}):
        assert parse(item) == expected


def test_an_image_file_as_a_part_needs_no_base64() -> None:
    assert parse({"image": bytearray(IMAGE), "top_k": b"7", "debug": "true"}) == SearchRequest(IMAGE, 7, True)
    assert parse({"image": bytearray(IMAGE)}) == SearchRequest(IMAGE, 10, False)


def test_a_field_that_was_left_empty_is_absent() -> None:
    assert (
        parse({"body": {"image": "", "text": "hat"}}) == parse({"image": b"", "text": b"hat"}) == SearchRequest("hat")
    )
    assert (
        parse({"body": {"image": STANDARD, "text": ""}}) == parse({"image": IMAGE, "text": b""}) == SearchRequest(IMAGE)
    )
    assert parse({"image": IMAGE, "top_k": b"", "max_distance": b"", "rank": b""}) == SearchRequest(IMAGE)


def test_a_plain_part_with_base64_is_understood_too() -> None:
    assert parse({"image": STANDARD.encode()}).subject == IMAGE


@pytest.mark.parametrize(
    "text",
    [
        STANDARD,
        STANDARD.rstrip("="),
        URL_SAFE,
        URL_SAFE.rstrip("="),
        "data:image/png;base64," + STANDARD,
        "DATA:image/svg+xml;charset=utf-8;BASE64," + URL_SAFE,
        "\n ".join(STANDARD[start : start + 60] for start in range(0, len(STANDARD), 60)) + "\r\n",
    ],
)
def test_base64_is_read_in_every_common_spelling(text: str) -> None:
    assert parse({"body": {"image": text}}).subject == IMAGE


def test_a_part_of_text_that_is_no_base64_is_left_to_the_decoder() -> None:
    assert parse({"image": bytearray(b"This is no image.")}).subject == b"This is no image."


def test_a_class_may_be_named_instead_in_every_shape() -> None:
    fields = {"text": "Robe d'été", "top_k": 3}
    expected = SearchRequest("Robe d'été", 3)
    raw = json.dumps(fields).encode()
    parts = {"text": "Robe d'été".encode(), "top_k": b"3"}
    for item in ({"body": fields}, {"body": bytearray(raw)}, {"data": fields}, {"data": bytearray(raw)}, parts):
        assert parse(item) == expected
    assert parse({"text": " shirt\n", "debug": "1"}) == SearchRequest("shirt", debug=True)
    assert parse({"body": {"text": " shirt ", "image": None}}) == SearchRequest("shirt")
    assert parse({"body": {"text": None, "image": STANDARD}}) == SearchRequest(IMAGE)


def test_a_field_that_a_web_form_left_empty_is_none() -> None:
    assert parse({"image": b"", "text": b"shirt"}) == SearchRequest("shirt")
    assert parse({"image": IMAGE, "text": b" ", "rank": b"", "debug": b""}) == SearchRequest(IMAGE)


@pytest.mark.parametrize("rank", ["distance", "detail"])
def test_a_rank_may_be_given_in_every_shape(rank: str) -> None:
    fields = {"image": STANDARD, "rank": rank}
    raw = json.dumps(fields).encode()
    parts = ({"image": IMAGE, "rank": f" {rank}\r\n".encode()}, {"image": IMAGE, "rank": rank})
    for item in ({"body": fields}, {"body": bytearray(raw)}, {"data": fields}, {"data": bytearray(raw)}, *parts):
        assert parse(item) == SearchRequest(IMAGE, rank=rank)  # type: ignore[arg-type]


def test_the_rank_is_by_distance_unless_said_otherwise() -> None:
    assert parse({"body": {"image": STANDARD, "rank": None}}).rank == "distance"
    assert parse({"image": IMAGE}).rank == "distance"
    assert parse({"body": {"text": "shirt", "rank": "distance"}}).rank == "distance"


def test_words_may_stand_beside_a_picture_and_against_it() -> None:
    both = SearchRequest(IMAGE, words=Words("red", 0.3, "a dog"))
    said = {"text": " red ", "text_weight": 0.3, "negative_text": "a dog"}
    assert parse({"body": {"image": STANDARD, **said}}) == both
    assert parse({"image": IMAGE, "text": b"red", "text_weight": b"0.3", "negative_text": b"a dog"}) == both
    assert parse({"body": {"path": "a.png", "text": "red"}}) == SearchRequest(
        IndexedImage("a.png"), words=Words("red", 0.5)
    )
    assert parse({"body": {"text": "red", "negative_text": "dog", "text_weight": 0.1}}) == SearchRequest(
        "red", words=Words(None, 0.1, "dog")
    )
    assert parse({"body": {"image": STANDARD, "text": "", "text_weight": 0.3}}) == SearchRequest(IMAGE)


def test_an_embedding() -> None:
    asked = SearchRequest(QueryEmbedding((0.5, -1.0)), words=Words("red"))
    assert parse({"body": {"embedding": [0.5, -1], "text": "red"}}) == asked
    assert parse({"embedding": b"[0.5, -1]", "text": b"red", "image": b""}) == asked


PAYLOADS = st.one_of(st.binary(), st.text(), st.none(), st.dictionaries(st.text(), st.text()))


@given(
    st.dictionaries(st.sampled_from(["body", "data", "image", "text", "rank", "top_k", "topk", "debug", "x"]), PAYLOADS)
)
def test_whatever_is_sent_is_a_request_or_a_refusal(item: dict[str, Any]) -> None:
    try:
        assert isinstance(parse(item), SearchRequest)
    except RequestError as error:
        assert error.status == 400


def test_defaults_aliases_and_unknown_fields() -> None:
    assert parse({"body": {"image": STANDARD}}) == SearchRequest(IMAGE, 10, False)
    assert parse({"body": {"image": STANDARD, "topk": 4, "diversity": 0.5}}).top_k == 4
    assert parse({"body": {"image": STANDARD, "topk": 4, "top_k": 5}}).top_k == 5
    assert parse({"body": {"image": STANDARD, "top_k": None, "debug": None}}) == SearchRequest(IMAGE, 10, False)
    assert [parse({"body": {"image": STANDARD, "top_k": k}}).top_k for k in (1, 16_384)] == [1, 16_384]


def test_a_greatest_distance_may_be_given() -> None:
    assert parse({"body": {"image": STANDARD, "max_distance": 0}}) == SearchRequest(IMAGE, 10, False, max_distance=0)
    assert parse({"body": {"image": STANDARD, "max_distance": None}}).max_distance is None
    assert parse({"image": IMAGE, "max_distance": b" 12 ", "top_k": "7"}) == SearchRequest(
        IMAGE, 7, False, max_distance=12
    )


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({}, "holds no image, no text and no code"),
        ({"body": b""}, "no body"),
        ({"body": b'{"image":'}, "not JSON"),
        ({"body": b"\xff\xfe"}, "not JSON"),
        ({"body": b"[" * 100_000}, "not JSON"),
        ({"body": b"[1]"}, "JSON object, and is an array"),
        ({"body": None}, "JSON object, and is null"),
        ({'{"image": "aGk': b'"}'}, "Content-Type: application/json"),
        ({"body": {}}, "image is missing"),
        ({"body": {"image": None}}, "image is missing"),
        ({"body": {"text": None}}, "image is missing: give an image file in base64, or text, the name of a class"),
        ({"body": {"image": STANDARD, "embedding": [1.0]}}, "image and embedding are both given"),
        ({"body": {"embedding": "0.5"}}, "embedding must be a list of numbers, and is a string"),
        ({"body": {"embedding": ["x"]}}, "embedding must be a list of numbers"),
        ({"body": '{"embedding": [NaN]}'}, "embedding must be a list of numbers"),
        ({"body": {"embedding": [0, 0.0]}}, "embedding has no direction"),
        ({"body": {"embedding": []}}, "embedding has no direction"),
        ({"embedding": b"[1, 2"}, "embedding is not JSON"),
        ({"body": {"image": STANDARD, "text": "red", "text_weight": 1.5}}, "text_weight must be a number from 0 to 1"),
        ({"body": {"image": STANDARD, "text": "red", "text_weight": "1"}}, "text_weight must be a number from 0 to 1"),
        ({"image": IMAGE, "text": b"red", "text_weight": b"1e1"}, "text_weight must be a number from 0 to 1, and is"),
        ({"body": {"image": STANDARD, "negative_text": 5}}, "negative_text must be words, and is an integer"),
        ({"body": {"negative_text": "red"}}, "image is missing"),
        ({"body": {"code": "ff", "negative_text": "red"}}, "negative_text needs image, text, path or embedding"),
        ({"body": {"image": STANDARD, "text": "red", "rank": "detail"}}, 'rank "detail" needs an image alone'),
        ({"body": {"image": "", "text": ""}}, "text is empty"),
        ({"body": {"text": ""}}, "text is empty"),
        ({"body": {"text": " \n"}}, "text is empty"),
        ({"text": b""}, "text is empty"),
        ({"image": b"", "text": b""}, "text is empty"),
        ({"body": {"text": ["shirt"]}}, "text must be words, and is an array"),
        ({"body": {"text": 5}}, "text must be words, and is an integer"),
        ({"text": b"\xff"}, "text is not text"),
        ({"text": 10**15}, "text must be text, and is an integer"),  # bytes(10**15) would take all memory
        ({"text": [115, 104]}, "text must be text, and is an array"),
        ({"image": IMAGE, "rank": 300_000_000}, "rank must be text, and is an integer"),
        ({"image": IMAGE, "debug": 300_000_000}, "debug must be text, and is an integer"),
        ({"text": b"shirt", "top_k": b"five"}, "top_k must be an integer from 1 to 16384, and is 'five'"),
        ({"body": {"image": STANDARD, "rank": "near"}}, 'rank must be "distance" or "detail", and is \'near\''),
        ({"body": {"image": STANDARD, "rank": "Detail"}}, 'rank must be "distance" or "detail"'),
        ({"body": {"image": STANDARD, "rank": ""}}, 'rank must be "distance" or "detail", and is \'\''),
        ({"body": {"image": STANDARD, "rank": True}}, 'rank must be "distance" or "detail", and is a boolean'),
        ({"body": {"image": STANDARD, "rank": ["detail"]}}, 'rank must be "distance" or "detail", and is an array'),
        ({"body": {"image": STANDARD, "rank": "x" * 10_000}}, 'rank must be "distance" or "detail", and is \'x'),
        ({"image": IMAGE, "rank": b"near"}, 'rank must be "distance" or "detail", and is \'near\''),
        ({"image": IMAGE, "rank": b"\xff"}, "rank is not text"),
        ({"body": {"text": "shirt", "rank": "detail"}}, 'rank "detail" needs an image'),
        ({"text": b"shirt", "rank": b"detail"}, 'rank "detail" needs an image'),
        ({"body": {"image": 5}}, "image must be a string of base64, and is an integer"),
        ({"body": {"image": ""}}, "image is empty"),
        ({"body": {"image": "data:image/png;base64,"}}, "image is empty"),
        ({"body": {"image": "data:image/png,abc"}}, "data: URL"),
        ({"body": {"image": "not*base64"}}, "image is not base64"),
        ({"body": {"image": "abcde"}}, "image is not base64"),
        ({"body": {"image": "ab=cd"}}, "image is not base64"),
        ({"body": {"image": "fotografía"}}, "outside ASCII at position 8"),
        ({"body": {"image": STANDARD, "top_k": 0}}, "top_k must be an integer from 1 to 16384, and is 0"),
        ({"body": {"image": STANDARD, "top_k": 16_385}}, "top_k must be an integer from 1 to 16384, and is 16385"),
        ({"body": {"image": STANDARD, "topk": -1}}, "topk must be"),
        ({"body": {"image": STANDARD, "top_k": "5"}}, "top_k must be an integer from 1 to 16384, and is a string"),
        ({"body": {"image": STANDARD, "top_k": 2.5}}, "is a number"),
        ({"body": {"image": STANDARD, "top_k": True}}, "is a boolean"),
        ({"body": {"image": STANDARD, "top_k": [1]}}, "is an array"),
        ({"body": {"image": STANDARD, "debug": "true"}}, "debug must be true or false, and is a string"),
        ({"body": {"image": STANDARD, "debug": 1}}, "debug must be"),
        (
            {"body": {"image": STANDARD, "max_distance": -1}},
            "max_distance must be an integer from 0 to 1024, and is -1",
        ),
        ({"body": {"image": STANDARD, "max_distance": 1025}}, "max_distance must be an integer from 0 to 1024"),
        (
            {"body": {"image": STANDARD, "max_distance": "9"}},
            "max_distance must be an integer from 0 to 1024, and is a",
        ),
        ({"body": {"image": STANDARD, "max_distance": 9.0}}, "and is a number"),
        ({"image": IMAGE, "max_distance": b"near"}, "max_distance must be an integer from 0 to 1024, and is 'near'"),
        ({"image": IMAGE, "top_k": b"five"}, "top_k must be an integer from 1 to 16384, and is 'five'"),
        ({"image": IMAGE, "top_k": b"9" * 5000}, "top_k must be"),
        ({"image": IMAGE, "top_k": b"+-5"}, "top_k must be"),
        ({"image": IMAGE, "top_k": b"\xff"}, "top_k is not text"),
        ({"image": IMAGE, "debug": b"maybe"}, "debug must be true or false, and is 'maybe'"),
        ({"image": b""}, "image is empty"),
        ({"body": {"image": STANDARD, "code": "ff"}}, "image and code are both given"),
        ({"body": {"image": STANDARD, "text": "shirt", "code": "ff"}}, "image, text and code are all given"),
        ({"text": b"shirt", "code": b"ff"}, "text and code are both given"),
        ({"body": {"code": ""}}, "code must be hex digits, two a byte"),
        ({"body": {"code": "fff"}}, "code must be hex digits"),
        ({"body": {"code": "0xff"}}, "code must be hex digits"),
        ({"body": {"code": "ff" * 129}}, "code must be hex digits"),
        ({"body": {"code": 255}}, "code must be a string of hex digits, and is an integer"),
        ({"code": b"xy"}, "code must be hex digits"),
        ({"code": b"\xff"}, "code is not text"),
        ({"body": {"code": "ff", "detail_code": "x"}}, "detail_code must be hex digits"),
        (
            {"body": {"code": "ff", "detail_code": ["ff"]}},
            "detail_code must be a string of hex digits, and is an array",
        ),
        ({"body": {"path": ""}}, "path is empty"),
        ({"path": b""}, "path is empty"),
        ({"body": {"path": 5}}, "path must be the path of an indexed image, and is an integer"),
        ({"body": {"path": "a.png", "image": STANDARD}}, "image and path are both given"),
        ({"path": b"\xff"}, "path is not text"),
        ({"body": {"image": STANDARD, "collection": 3}}, "collection must be a collection's name, and is an integer"),
        ({"body": {"code": "ff", "rank": "detail"}}, 'rank "detail" needs detail_code beside code'),
    ],
)
def test_what_cannot_be_understood_is_a_400_that_names_the_field(item: dict[str, Any], said: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse(item)
    body = caught.value.body()
    assert (body["code"], body["type"]) == (400, "BadRequestException")
    assert said in str(body["message"])
    assert len(str(body["message"])) < 300


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"body": {"code": "9F3a"}}, QueryCodes(b"\x9f\x3a")),
        ({"body": {"code": " ff\n", "image": "", "text": ""}}, QueryCodes(b"\xff")),
        ({"body": {"code": "ff", "detail_code": "0001"}}, QueryCodes(b"\xff", b"\x00\x01")),
        ({"body": {"code": "ff", "detail_code": ""}}, QueryCodes(b"\xff")),
        ({"code": b"ff00", "detail_code": b"0a", "image": b""}, QueryCodes(b"\xff\x00", b"\x0a")),
        ({"data": b'{"code": "00"}'}, QueryCodes(b"\x00")),
    ],
)
def test_a_code_is_given_in_hex(item: dict[str, Any], expected: QueryCodes) -> None:
    assert parse(item).subject == expected


def test_an_indexed_image_is_named_in_every_shape() -> None:
    path = "ñandú/ a b.png "  # white space may be part of it
    fields = {"path": path, "top_k": 3, "rank": "detail"}
    expected = SearchRequest(IndexedImage(path), 3, rank="detail")
    raw = json.dumps(fields).encode()
    parts = {"path": path.encode(), "top_k": b"3", "rank": b"detail"}
    for item in ({"body": fields}, {"body": raw}, {"data": fields}, {"data": bytearray(raw)}, parts):
        assert parse(item) == expected
    assert parse({"path": "a.png", "image": b"", "text": b" ", "code": b""}) == SearchRequest(IndexedImage("a.png"))


def test_a_number_that_is_no_digits_of_a_form_is_understood_too() -> None:
    """TorchServe reads parts of type application/json."""
    assert parse({"image": IMAGE, "top_k": 7, "filter": {"a": 1}}).top_k == 7
    assert parse({"image": IMAGE, "collection": b"", "filter": b"null"}) == SearchRequest(IMAGE)
    assert parse({"body": {"image": STANDARD, "collection": "", "detail_code": 5}}) == SearchRequest(IMAGE)
