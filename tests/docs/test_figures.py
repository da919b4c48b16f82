"""Figures show the measurements that are committed beside them."""

from __future__ import annotations

import json

from tests.docs.figure import DRAWN, MEASURED, draw


def test_the_figure_of_the_event_loop_shows_what_was_measured() -> None:
    measured = json.loads(MEASURED.read_text(encoding="utf-8"))
    assert DRAWN.read_text(encoding="utf-8") == draw(measured)
    assert {"machine", "versions", "seconds"} <= set(measured)
