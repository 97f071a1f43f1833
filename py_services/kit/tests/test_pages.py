"""Page tokens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worldmesh_kit import DomainError, ErrorReason, PageTokens

PAGES = PageTokens("ListThings")


@given(st.lists(st.one_of(st.text(), st.integers()), max_size=3), st.dictionaries(st.text(), st.text(), max_size=3))
def test_a_token_gives_back_its_position(position: list[str | int], filters: dict[str, str]) -> None:
    assert PAGES.read(PAGES.make(position, filters), filters) == position


def test_no_token_is_the_first_page() -> None:
    assert PAGES.read("", {}) is None


@pytest.mark.parametrize("token", ["x", "AAAA", "not base64 at all!", "AAAAAAAAAAAAAAAA"])
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(DomainError) as raised:
        PAGES.read(token, {})
    assert raised.value.reason == ErrorReason.ERROR_REASON_INVALID_PAGE_TOKEN


def test_a_token_of_another_query_is_refused() -> None:
    token = PAGES.make([1], {"owner": "ann"})
    for pages, filters in ((PAGES, {"owner": "ben"}), (PageTokens("ListOthers"), {"owner": "ann"})):
        with pytest.raises(DomainError):
            pages.read(token, filters)
