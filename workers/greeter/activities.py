"""What the greeter does outside of its workflow."""

from __future__ import annotations

from orchestrator import activity


@activity.defn
async def greet(name: str) -> str:
    """Say hello."""
    return f"Hello, {name}!"
