"""What a head says of its body is read by one rule on both routes."""

from collections.abc import Callable, Mapping

import pytest
from mcdrop_service.errors import UnsupportedMediaTypeError
from mcdrop_service.web.body import check_media_type
from mcdrop_service.web.headers import content_coding, media_type
from mcdrop_service.web.inference_form import form_of


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (b"application/json", "application/json"),
        (b" Application/JSON\t;charset=utf-8", "application/json"),
        (b"", ""),
        (b";", ""),
        ("application/json\xa0".encode("latin-1"), "application/json\xa0"),
        ("APPLICATION/\xc0".encode("latin-1"), "application/\xc0"),
    ],
)
def test_only_blanks_and_capitals_of_ascii_are_passed_over(value: bytes, kind: str) -> None:
    assert media_type({b"content-type": value}) == kind
    assert content_coding({b"content-encoding": value.partition(b";")[0]}) == kind


def test_a_head_without_types_says_plain_json() -> None:
    assert (media_type({}), content_coding({})) == ("application/json", "identity")


@pytest.mark.parametrize("read", [check_media_type, form_of])
@pytest.mark.parametrize("name", [b"content-type", b"content-encoding"])
@pytest.mark.parametrize("blank", ["\xa0", "\x85", "\x1c"])
def test_blanks_that_http_has_not_are_refused_on_both_routes(
    read: Callable[[Mapping[bytes, bytes]], object], name: bytes, blank: str
) -> None:
    plain = {b"content-type": b"application/json", b"content-encoding": b"identity"}
    read({name: b" " + plain[name]})
    with pytest.raises(UnsupportedMediaTypeError):
        read({name: blank.encode("latin-1") + plain[name]})
