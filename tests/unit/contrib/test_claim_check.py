"""Large values are kept elsewhere; histories hold references."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from orchestrator.contrib.claim_check import ClaimCheckCodec, DirectoryDriver, RedisDriver
from orchestrator.contrib.compression import CompressionCodec
from orchestrator.converter import ChainedPayloadCodec, DataConverter, Payload
from orchestrator.exceptions import ConversionError, PayloadTooLargeError
from orchestrator.limits import CLAIMED_BYTES_MAX, PAYLOAD_BYTES_MAX
from orchestrator.testing import WorkflowEnvironment
from orchestrator.worker import Replayer, Worker
from tests.unit.converter.coded import QUEUE, Continuing

LARGE = "x" * (PAYLOAD_BYTES_MAX + 10)


@pytest.fixture
def values(tmp_path: Path) -> DataConverter:
    return DataConverter(payload_codec=ClaimCheckCodec(DirectoryDriver(tmp_path)))


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_values_over_the_limit_of_payloads_go_through_runs(
    values: DataConverter, tmp_path: Path
) -> None:
    async with (
        await WorkflowEnvironment.start_time_skipping(data_converter=values) as env,
        Worker(env.client, task_queue=QUEUE, workflows=[Continuing]),
    ):
        handle = await env.client.start_workflow(
            Continuing.run, args=[LARGE, 1], id="l", task_queue=QUEUE, memo={"word": "note"}
        )
        assert await handle.result() == f"{LARGE} and note"
        history = await env.client.get_workflow_handle("l").fetch_history()
    assert len(history.to_json()) < 20_000
    assert len(files(tmp_path)) == 2  # the argument of both runs once, and the result
    replayer = Replayer(workflows=[Continuing], data_converter=values)
    await replayer.replay_workflow(history)


async def test_small_values_stay_where_they_are(values: DataConverter, tmp_path: Path) -> None:
    (payload,) = await values.encode(["small"])
    assert payload.encoding == "json/plain"
    assert files(tmp_path) == []


async def test_what_is_gone_or_was_changed_is_said(values: DataConverter, tmp_path: Path) -> None:
    (payload,) = await values.encode([LARGE])
    (file,) = files(tmp_path)
    file.write_bytes(b"another")
    with pytest.raises(ConversionError, match="was changed in its store"):
        await values.decode([payload])
    file.unlink()
    with pytest.raises(ConversionError, match="is not in its store"):
        await values.decode([payload])


async def test_a_reference_that_names_a_path_is_refused(values: DataConverter) -> None:
    foreign = Payload.of_bytes(
        b"", encoding="claim/sha256", metadata={"claim-key": "../../etc/passwd"}
    )
    with pytest.raises(ConversionError, match="64 hexadecimal digits"):
        await values.decode([foreign])


async def test_what_is_old_is_deleted_and_what_is_stored_again_is_young(
    values: DataConverter, tmp_path: Path
) -> None:
    driver = DirectoryDriver(tmp_path)
    (payload,) = await values.encode([LARGE])
    (file,) = files(tmp_path)
    os.utime(file, (0, 0))
    await values.encode([LARGE])
    assert await driver.delete_older_than(timedelta(days=1)) == 0
    os.utime(file, (0, 0))
    assert await driver.delete_older_than(timedelta(days=1)) == 1
    assert files(tmp_path) == []
    await driver.delete(payload.metadata["claim-key"])


async def test_it_goes_behind_compression(tmp_path: Path) -> None:
    codec = ChainedPayloadCodec(CompressionCodec(), ClaimCheckCodec(DirectoryDriver(tmp_path)))
    values = DataConverter(payload_codec=codec)
    (payload,) = await values.encode([LARGE])
    assert payload.encoding == "binary/zlib"  # small enough now
    assert await values.decode([payload]) == [LARGE]


async def test_there_is_a_limit_still(values: DataConverter) -> None:
    with pytest.raises(PayloadTooLargeError):
        await values.encode(["x" * CLAIMED_BYTES_MAX])


async def test_what_is_read_again_is_young(values: DataConverter, tmp_path: Path) -> None:
    (payload,) = await values.encode([LARGE])
    (file,) = files(tmp_path)
    os.utime(file, (0, 0))
    assert await values.decode([payload]) == [LARGE]
    assert await DirectoryDriver(tmp_path).delete_older_than(timedelta(days=1)) == 0


def test_values_in_redis_must_be_kept_for_some_time() -> None:
    with pytest.raises(ValueError, match="must be positive"):
        RedisDriver("redis://127.0.0.1", keep=timedelta())
