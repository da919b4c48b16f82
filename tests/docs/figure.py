"""The figure of `docs/explanation/event-loop.md`, drawn from committed measurements.

    python -m tests.docs.figure

draws it again after `docs/explanation/figures/cpu-bound.json` was measured anew.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "docs" / "explanation" / "figures"
MEASURED = FOLDER / "cpu-bound.json"
DRAWN = FOLDER / "cpu-bound.svg"
_BAR, _LEFT, _WIDTH = 34, 150, 560


def draw(measured: dict[str, Any]) -> str:
    """Bars of seconds by number of worker processes."""
    seconds = {int(count): float(value) for count, value in measured["seconds"].items()}
    longest = max(seconds.values())
    height = 20 + len(seconds) * (_BAR + 14) + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH + 40} {height}" '
        'font-family="sans-serif" font-size="14">'
    ]
    y = 20
    for count, value in sorted(seconds.items()):
        width = round((_WIDTH - _LEFT - 60) * value / longest)
        name = f"{count} process" + ("es" if count > 1 else "")
        parts.append(f'<text x="{_LEFT - 10}" y="{y + 22}" text-anchor="end">{name}</text>')
        parts.append(f'<rect x="{_LEFT}" y="{y}" width="{width}" height="{_BAR}" fill="#4878a8"/>')
        parts.append(f'<text x="{_LEFT + width + 8}" y="{y + 22}">{value:.2f} s</text>')
        y += _BAR + 14
    text = f"{measured['activities']} activities of {measured['each_ms']} ms CPU each"
    parts.append(f'<text x="{_LEFT}" y="{y + 16}" fill="#666">{text}</text>')
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    DRAWN.write_text(draw(json.loads(MEASURED.read_text(encoding="utf-8"))), encoding="utf-8")
