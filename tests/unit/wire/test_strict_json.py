"""What two readers could read differently is refused; everything else is read."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.limits import JSON_DEPTH_MAX, JSON_INTEGER_DIGITS_MAX
from orchestrator.wire import strict_json

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # Halves of surrogate pairs are refused.
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES, st.booleans())
def test_what_json_can_hold_is_read(value: object, ascii_only: bool) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only).encode()
    assert strict_json.parse(body) == value


@given(VALUES)
def test_whatever_is_read_here_is_read_by_the_converters_library(value: object) -> None:
    body = json.dumps(value).encode()
    strict_json.parse(body)
    msgspec.json.decode(body)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "not JSON"),
        (b"{} {}", "not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b"{}".decode().encode("utf-16"), "not UTF-8: invalid start byte at byte 0"),
        (b'"a\nb"', "not JSON"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "the key 'c' stands twice in one object"),
        (b'{"a": 1, "\\u0061": 2}', "the key 'a' stands twice in one object"),
        (b"[NaN]", "NaN is not JSON"),
        (b"[-Infinity]", "-Infinity is not JSON"),
        (b"1e309", "the number '1e309' is beyond a double"),
        (b"9" * (JSON_INTEGER_DIGITS_MAX + 1), "an integer of 4301 digits"),
        (b'"\\udc00\\ud800"', "half of a surrogate pair"),
        (b'{"\\uD800": 1}', "half of a surrogate pair"),
        (b"[" * (JSON_DEPTH_MAX + 1), "nested deeper than 64"),
    ],
    ids=str,
)
def test_what_cannot_be_read_alike_by_all_is_refused(body: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem.replace("[", "\\[")):
        strict_json.parse(body)


def test_a_surrogate_pair_is_one_character() -> None:
    assert strict_json.parse(b'"\\ud83c\\udf55"') == "\U0001f355"


def test_a_backslash_before_ud_is_no_surrogate() -> None:
    assert strict_json.parse(b'"\\\\ud800"') == "\\ud800"


def test_nesting_is_allowed_to_the_limit() -> None:
    strict_json.parse(b"[" * JSON_DEPTH_MAX + b"]" * JSON_DEPTH_MAX)


def test_brackets_side_by_side_do_not_count_as_nesting() -> None:
    strict_json.check_depth(b"[" + b"[]," * 1_000 + b"[]]")


@given(st.text(alphabet='[]{}"\\a', max_size=60), st.integers(0, 4))
def test_the_depth_is_that_of_the_brackets_outside_of_strings(text: str, depth_max: int) -> None:
    depth, deepest, in_string, escaped = 0, 0, False, False
    for character in text:
        if in_string:
            in_string = escaped or character != '"'
            escaped = character == "\\" and not escaped
        elif character == '"':
            in_string = True
        else:
            depth += (character in "[{") - (character in "]}")
            deepest = max(deepest, depth)
    if deepest <= depth_max:
        strict_json.check_depth(text.encode(), depth_max=depth_max)
    else:
        with pytest.raises(ValueError, match="deeper"):
            strict_json.check_depth(text.encode(), depth_max=depth_max)


def test_a_long_key_is_not_quoted_whole() -> None:
    key = b'"' + b"k" * 1_000 + b'"'
    with pytest.raises(ValueError, match="k…") as caught:
        strict_json.parse(b"{" + key + b":1," + key + b":2}")
    assert len(str(caught.value)) < 100
