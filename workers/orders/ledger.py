"""What the order's steps did, for who wants to check the engine's word: off unless ORDERS_LEDGER
names a file.

In life the card provider keeps the books of payments; here the ledger stands in for it.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from decimal import Decimal
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from orchestrator.testing.ledger import Ledger

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


def recorded(
    step: Callable[_Parameters, Awaitable[_Result]],
) -> Callable[_Parameters, Awaitable[_Result]]:
    """Tell the ledger when an attempt of `step` begins and ends, and how."""

    @wraps(step)
    async def run(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        ledger = _ledger()
        if ledger is None:
            return await step(*args, **kwargs)
        with ledger.attempt():
            return await step(*args, **kwargs)

    return run


def book(name: str, *, order_id: str, idempotency_key: str, amount: Decimal) -> None:
    """Ask the card provider to move money. It does what has one key once, however often asked."""
    ledger = _ledger()
    if ledger is not None:
        ledger.effect(name, subject=order_id, idempotency_key=idempotency_key, amount=amount)


def _ledger() -> Ledger | None:
    path = os.environ.get("ORDERS_LEDGER")
    return Ledger(Path(path)) if path else None
