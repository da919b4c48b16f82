"""Control characters made visible: a foreign text cannot forge a line or drive a terminal.

Knows no library, because also programs that only print an error need it.
"""

from __future__ import annotations

import re

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""C0, DEL, C1, line separators, changes of writing direction, lone surrogates."""
_KEEP_LINES = re.compile("(?!\n)" + _CONTROL.pattern)


def escape_controls(text: str, *, keep_lines: bool = False) -> str:
    r"""`text` with control characters written as `\x1b` or `\u2028`; `keep_lines` spares `\n`."""
    return (_KEEP_LINES if keep_lines else _CONTROL).sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
