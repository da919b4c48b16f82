"""Rows of the index, page after page."""

from __future__ import annotations

from collections.abc import AsyncIterator

from orchestrator.limits import LIST_PAGE
from orchestrator.ports.store import Store
from orchestrator.ports.visibility import IndexRow, RunFilter


async def rows_of(store: Store, wanted: RunFilter, *, limit: int | None) -> AsyncIterator[IndexRow]:
    """What fits, newest start first, `limit` at most."""
    left, cursor = limit, None
    while left is None or left > 0:
        page_limit = LIST_PAGE if left is None else min(left, LIST_PAGE)
        page = await store.list_page(wanted, limit=page_limit, cursor=cursor)
        for row in page.rows:
            yield row
        if page.cursor is None:
            return
        left, cursor = None if left is None else left - len(page.rows), page.cursor
