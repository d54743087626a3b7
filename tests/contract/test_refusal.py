"""One shape for errors: every status that HTTP has for them says in words, and for programs, what it is."""

from http import HTTPStatus

import pytest

from contract.refusal import ADVICE, error_body


def test_what_it_says() -> None:
    assert error_body(404, "there is no version 1.7.0", "no_such_version").model_dump() == {
        "code": 404,
        "type": "NotFound",
        "reason": "no_such_version",
        "message": "there is no version 1.7.0",
        "advice": ADVICE["no_such_version"],
    }


@pytest.mark.parametrize("status", [status for status in HTTPStatus if status >= 400], ids=lambda each: each.name)
def test_every_status_has_a_reason_and_advice(status: HTTPStatus) -> None:
    body = error_body(status, "no")
    assert (body.code, body.message) == (status, "no")
    assert body.reason in ADVICE
    assert body.advice == ADVICE[body.reason]


def test_advice_is_whole_sentences() -> None:
    assert [advice for advice in ADVICE.values() if not (advice[0].isupper() and advice.endswith("."))] == []


def test_a_server_may_have_its_own_name_of_a_status() -> None:
    assert error_body(400, "no", kind="BadRequestException").type == "BadRequestException"
