"""`--codec` names what reads encoded values; whatever else it names is said."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from orchestrator.cli.codecs import load_converter
from orchestrator.cli.exits import CommandError
from orchestrator.cli.timeline import show_failure
from orchestrator.contrib.compression import CompressionCodec
from orchestrator.converter import DataConverter, DefaultFailureConverterWithEncodedAttributes
from orchestrator.exceptions import ApplicationError

SHOP = """
from orchestrator.contrib.compression import CompressionCodec
from orchestrator.converter import DataConverter
codec = CompressionCodec()
converter = DataConverter(payload_codec=codec)
nothing = 5
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "shop_codecs.py").write_text(SHOP)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def test_a_codec_and_a_converter_are_found_in_the_current_folder(folder: Path) -> None:
    for name in ("codec", "converter"):
        found = load_converter(f"shop_codecs:{name}", folder=folder)
        assert isinstance(found.payload_codec, CompressionCodec)
    assert load_converter(None, folder=folder) is DataConverter.default


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("shop_codecs", "expected module:attribute"),
        (":codec", "expected module:attribute"),
        ("no_such_module:codec", "no_such_module"),
        ("shop_codecs:missing", "missing"),
        ("shop_codecs:nothing", "expected a DataConverter or a PayloadCodec, found 5"),
    ],
)
def test_what_cannot_be_used_is_said(folder: Path, where: str, said: str) -> None:
    with pytest.raises(CommandError, match=said):
        load_converter(where, folder=folder)


def test_a_timeline_shows_texts_that_were_hidden_and_are_decoded() -> None:
    hiding = DataConverter(failure_converter_class=DefaultFailureConverterWithEncodedAttributes)
    failure = hiding.to_failure(ApplicationError("sold out", type="Shop"))
    assert failure.message == "Encoded failure"
    assert "sold out" in show_failure(failure)
