"""Pages and their tokens."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worldmesh_kit import DomainError, ErrorReason, PageTokens

PAGES = PageTokens("ListThings", datetime, str)
START = datetime(2026, 1, 1, tzinfo=UTC)

TIMES = st.datetimes(timezones=st.just(UTC)).map(lambda t: t.replace(microsecond=t.microsecond // 1000 * 1000))
FILTERS = st.dictionaries(st.text(), st.text(), max_size=3)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


def forged(body: bytes) -> str:
    """A token with a good checksum, which anybody can calculate."""
    return base64.urlsafe_b64encode(PAGES._check({}) + body).decode().rstrip("=")


def refused(token: str) -> bool:
    """Whether a token is refused as it must be, and not in another way."""
    try:
        PAGES.read(token, {})
    except DomainError as error:
        return error.reason == ErrorReason.ERROR_REASON_INVALID_PAGE_TOKEN
    return False


@given(TIMES, st.text(), FILTERS)
def test_a_token_gives_back_its_position(time: datetime, name: str, filters: dict[str, str]) -> None:
    assert PAGES.read(PAGES.make((time, name), filters), filters) == (time, name)


def test_no_token_is_the_first_page() -> None:
    assert PAGES.read("", {}) is None


@given(st.text(min_size=1))
def test_a_text_that_is_no_token_is_refused(token: str) -> None:
    assert refused(token)


@given(st.binary())
def test_a_forged_token_of_any_bytes_is_refused(body: bytes) -> None:
    assert refused(forged(body))


@given(JSON_VALUES | st.lists(JSON_VALUES, min_size=2, max_size=2))
def test_a_forged_token_that_says_anything_but_a_time_and_a_text_is_refused(value: object) -> None:
    match value:
        case [int(time), str()] if not isinstance(time, bool):
            return  # that is a position like any other, and no right comes with it
    assert refused(forged(json.dumps(value, separators=(",", ":")).encode()))


@given(st.integers(), st.text(st.characters(), max_size=5))
def test_a_forged_position_is_refused_or_one_that_the_store_can_look_for(time: int, name: str) -> None:
    token = forged(json.dumps([time, name], separators=(",", ":")).encode())
    if not refused(token):
        assert PAGES.read(token, {}) == (datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=time), name)
        name.encode()  # or it raises


@pytest.mark.parametrize(
    "body",
    [
        *('[1e999,"a"]', '[NaN,"a"]', '[true,"a"]', '["1","a"]', f'[{10**18},"a"]', f'[{"9" * 5000},"a"]'),
        *('[1,"\\ud800"]', '[1,"a","b"]', "[1]", "[]", "7", '"ab"', '{"1":"a"}', '[1, "a"]', "[" * 100_000),
    ],
)
def test_a_forged_token_is_refused(body: str) -> None:
    assert refused(forged(body.encode()))


def test_a_token_of_another_query_is_refused() -> None:
    token = PAGES.make((START, "a"), {"owner": "ann"})
    for pages, filters in ((PAGES, {"owner": "ben"}), (PageTokens("ListOthers", datetime, str), {"owner": "ann"})):
        with pytest.raises(DomainError):
            pages.read(token, filters)


@dataclass
class Request:
    page_size: int = 0
    page_token: str = ""


@pytest.mark.parametrize(("size", "sizes"), [(0, [20, 20, 5]), (9, [9, 9, 9, 9, 9]), (45, [45]), (100, [45])])
async def test_pages_hold_every_row_once_in_order(size: int, sizes: list[int]) -> None:
    names = PageTokens("ListNames", str)
    rows = [f"{n:02}" for n in range(45)]

    async def fetch(after: tuple[str] | None, limit: int) -> Sequence[str]:
        return [row for row in rows if after is None or row > after[0]][:limit]

    pages, request = [], Request(size)
    while True:
        page, request.page_token = await names.page(request, {}, fetch, lambda row: (row,))
        pages.append(page)
        if not request.page_token:
            break
    assert [len(page) for page in pages] == sizes
    assert [row for page in pages for row in page] == rows
