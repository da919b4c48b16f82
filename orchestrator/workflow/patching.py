"""Changes of code that runs are amid: `patched` and `deprecate_patch`."""

from __future__ import annotations

from orchestrator.replay.context import current_run


def patched(id: str) -> bool:
    """Whether this run goes the new way of a change named `id`.

    A task that is done for the first time goes the new way and notes that in history; a replay goes
    it only if history has the note. The first answer stands for the whole run. Runs that took the
    patch show it in the search attribute `TemporalChangeVersion`.

        if workflow.patched("pay-before-cooking"):
            ...  # the new code
        else:
            ...  # the old code, for runs that have passed here

    Once no run goes the old way any more, `deprecate_patch` takes its place.

    Raises:
        ReadOnlyContextError: the caller is a query, a validator or a condition.
        InvalidNameError: `id` cannot be a name.
    """
    return current_run().patches.use(id, deprecated=False)


def deprecate_patch(id: str) -> None:
    """Say that the old way of the change `id` is gone from the code. Runs that noted the patch go
    on; the notes of new runs may be missing in later code, so that this call can be removed when
    all runs that had the first kind of note have ended.

    Raises:
        ReadOnlyContextError: the caller is a query, a validator or a condition.
        InvalidNameError: `id` cannot be a name.
    """
    current_run().patches.use(id, deprecated=True)
