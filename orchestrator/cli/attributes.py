"""Search attributes on the command line: `NAME=VALUE` or `NAME:TYPE=VALUE`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from orchestrator.cli.exits import CommandError

if TYPE_CHECKING:
    from orchestrator.common import TypedSearchAttributes

ATTRIBUTE_HELP = (
    "A search attribute and its value, e.g. City=Rome or Price:float=9.5 (types: keyword, text, "
    "int, float, bool, datetime, keyword-list with commas); repeat it for more"
)


def read_attributes(texts: Sequence[str]) -> TypedSearchAttributes:
    """The attributes of `--search-attribute` options.

    Raises:
        CommandError: one cannot be read.
    """
    from orchestrator.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

    makers: Mapping[str, Any] = {  # Any: keys of values of any type
        "keyword": (SearchAttributeKey.for_keyword, str),
        "text": (SearchAttributeKey.for_text, str),
        "int": (SearchAttributeKey.for_int, int),
        "float": (SearchAttributeKey.for_float, float),
        "bool": (SearchAttributeKey.for_bool, _bool),
        "datetime": (SearchAttributeKey.for_datetime, _moment),
        "keyword-list": (SearchAttributeKey.for_keyword_list, _texts),
    }
    pairs: list[SearchAttributePair[Any]] = []  # Any: as above
    for text in texts:
        named, sign, value = text.partition("=")
        name, _, kind = named.partition(":")
        if not sign or not name or (kind or "keyword") not in makers:
            raise CommandError(
                f"--search-attribute: expected NAME=VALUE or NAME:TYPE=VALUE with a type of "
                f"{', '.join(makers)}, found {text!r}"
            )
        make, read = makers[kind or "keyword"]
        try:
            pairs.append(SearchAttributePair(make(name), read(value)))
        except ValueError:
            raise CommandError(f"--search-attribute {name}: {value!r} is no {kind}") from None
    try:
        return TypedSearchAttributes(pairs)
    except ValueError as error:
        raise CommandError(f"--search-attribute: {error}") from None


def _texts(text: str) -> list[str]:
    return text.split(",")


def _bool(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


def _moment(text: str) -> Any:  # Any: a datetime, whose module is not imported for this alone
    from datetime import UTC, datetime

    found = datetime.fromisoformat(text)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
