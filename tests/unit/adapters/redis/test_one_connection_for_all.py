"""What the callers of one connection to Redis share, and what they do not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from orchestrator.adapters.redis import connection as module
from orchestrator.adapters.redis import lane
from orchestrator.adapters.redis.connection import Connection
from orchestrator.exceptions import MisconfiguredError, UnavailableError
from tests.unit.adapters.redis.spoken_server import INFO, SpokenServer


@pytest.fixture
async def server() -> AsyncIterator[SpokenServer]:
    async with SpokenServer() as server:
        yield server


@pytest.fixture
async def connection(server: SpokenServer) -> AsyncIterator[Connection]:
    connection = Connection(server.url)
    await connection.open()
    server.reads.clear()
    yield connection
    await connection.close()


async def test_calls_of_one_turn_travel_in_one_write(
    server: SpokenServer, connection: Connection
) -> None:
    server.answer = lambda command: b"+%s\r\n" % command[1]
    before = connection.counters.value("redis_writes")
    answers = await asyncio.gather(*(connection.command("ECHO", str(n)) for n in range(50)))
    assert answers == [b"%d" % n for n in range(50)]
    assert connection.counters.value("redis_writes") - before == 1


async def test_calls_go_out_while_answers_are_awaited(
    server: SpokenServer, connection: Connection
) -> None:
    server.answer = lambda command: None
    first = asyncio.ensure_future(connection.command("ECHO", "1"))
    await server.holds(1)
    second = asyncio.ensure_future(connection.command("ECHO", "2"))
    await server.holds(2)
    server.say(b"+one\r\n+two\r\n")
    assert await asyncio.gather(first, second) == [b"one", b"two"]


async def test_an_error_of_one_call_is_its_own(
    server: SpokenServer, connection: Connection
) -> None:
    server.answer = lambda command: b"-OOM no memory\r\n" if command[1] == b"1" else b"+OK\r\n"
    answers = await asyncio.gather(
        *(connection.command("ECHO", n) for n in (0, 1, 2)), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [bytes, UnavailableError, bytes]


@pytest.mark.parametrize(
    "reply",
    [
        b"-LOADING Redis is loading the dataset in memory\r\n",
        b"-BUSY Redis is busy running a script.\r\n",
        b"-MASTERDOWN Link with MASTER is down\r\n",
        b"-MISCONF Errors writing to the AOF file\r\n",
        b"-NOREPLICAS Not enough good replicas to write.\r\n",
        b"-CLUSTERDOWN Hash slot not served\r\n",
        b"-TRYAGAIN Multiple keys request during rehashing of slot\r\n",
        b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
    ],
)
async def test_a_server_that_cannot_now_is_unavailable_and_the_connection_goes_on(
    server: SpokenServer, connection: Connection, reply: bytes
) -> None:
    server.answer = lambda command: reply
    with pytest.raises(UnavailableError):
        await connection.command("ECHO", "1")
    server.answer = lambda command: b"+OK\r\n"
    assert await connection.command("ECHO", "2") == b"OK"


@pytest.mark.parametrize(
    "reply",
    [
        b"-NOAUTH Authentication required.\r\n",
        b"-NOPERM User w has no permissions to run the 'evalsha' command\r\n",
        b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
    ],
)
async def test_what_repeating_does_not_cure_is_misconfigured(
    server: SpokenServer, connection: Connection, reply: bytes
) -> None:
    server.answer = lambda command: reply
    with pytest.raises(MisconfiguredError):
        await connection.command("ECHO", "1")


async def test_a_former_master_is_left_so_that_the_next_connection_finds_the_new_one(
    server: SpokenServer,
) -> None:
    told: list[str] = []
    connection = Connection(server.url, on_failover=lambda: told.append("failover"))
    await connection.open()
    server.answer = lambda command: b"-READONLY You can't write against a read only replica.\r\n"
    with pytest.raises(UnavailableError):
        await connection.command("ECHO", "1")
    server.answer = lambda command: b"+OK\r\n"
    server.info = INFO.replace(b"r1", b"r2")
    assert await connection.command("ECHO", "2") == b"OK"
    assert told == ["failover"]
    await connection.close()


async def test_a_lost_connection_is_an_unknown_outcome_for_those_in_flight_only(
    server: SpokenServer, connection: Connection
) -> None:
    done = await connection.command("ECHO", "0")
    server.answer = lambda command: None
    lost = [asyncio.ensure_future(connection.command("ECHO", n)) for n in (1, 2)]
    await server.holds(3)
    server.answer = lambda command: b"+OK\r\n"
    server.cut()
    outcomes = await asyncio.gather(*lost, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [UnavailableError] * 2
    assert [done, await connection.command("ECHO", "3")] == [b"OK", b"OK"]
    assert [command[1] for command in server.commands] == [b"0", b"1", b"2", b"3"]


async def test_the_same_server_after_a_cut_is_no_failover(server: SpokenServer) -> None:
    told: list[str] = []
    connection = Connection(server.url, on_failover=lambda: told.append("failover"))
    await connection.open()
    server.cut()
    async with asyncio.timeout(5):
        while True:
            try:
                await connection.command("ECHO", "1")
                break
            except UnavailableError:
                continue
    assert told == []
    await connection.close()


async def test_a_cancelled_caller_disturbs_nobody(
    server: SpokenServer, connection: Connection
) -> None:
    server.answer = lambda command: None
    calls = [asyncio.ensure_future(connection.command("ECHO", n)) for n in range(3)]
    await server.holds(3)
    calls[1].cancel()
    server.say(b"+zero\r\n+one\r\n+two\r\n")
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [outcomes[0], outcomes[2]] == [b"zero", b"two"]
    assert isinstance(outcomes[1], asyncio.CancelledError)


async def test_silence_is_an_unknown_outcome_in_time_and_a_new_connection(
    server: SpokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = Connection(server.url)
    with monkeypatch.context() as impatient:
        impatient.setattr(lane, "STORE_TIMEOUT_MS", 200)
        await connection.open()
        server.answer = lambda command: None
        with pytest.raises(UnavailableError, match="no answer"):
            await connection.command("ECHO", "1")
    server.answer = lambda command: b"+OK\r\n"
    assert await connection.command("ECHO", "2") == b"OK"
    await connection.close()


async def test_calls_in_flight_are_bounded_and_the_rest_follows(
    server: SpokenServer, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "STORE_CALLS_IN_FLIGHT_MAX", 4)
    server.answer = lambda command: None
    calls = [asyncio.ensure_future(connection.command("ECHO", n)) for n in range(10)]
    await server.holds(4)
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(server.commands) == 4
    server.answer = lambda command: b"+OK\r\n"
    server.say(b"+OK\r\n" * 4)
    assert await asyncio.gather(*calls) == [b"OK"] * 10


async def test_more_than_may_wait_is_refused_at_once(
    server: SpokenServer, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "STORE_CALLS_WAITING_MAX", 2)
    calls = [asyncio.ensure_future(connection.command("ECHO", n)) for n in range(3)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [bytes, bytes, UnavailableError]


async def test_a_close_ends_what_is_under_way(server: SpokenServer, connection: Connection) -> None:
    server.answer = lambda command: None
    call = asyncio.ensure_future(connection.command("ECHO", "1"))
    await server.holds(1)
    await connection.close()
    with pytest.raises(UnavailableError):
        await call
    with pytest.raises(UnavailableError, match="not open"):
        await connection.command("ECHO", "2")


async def test_a_long_read_holds_up_no_command(
    server: SpokenServer, connection: Connection
) -> None:
    server.answer = lambda command: None if command[0] == b"XRANGE" else b"+OK\r\n"
    read = asyncio.ensure_future(connection.read("XRANGE", "k", "-", "+"))
    await server.holds(1)
    assert await connection.command("ECHO", "1") == b"OK"
    read.cancel()


async def test_an_old_server_is_refused(server: SpokenServer) -> None:
    server.info = INFO.replace(b"7.0.15", b"6.2.7")
    connection = Connection(server.url)
    with pytest.raises(MisconfiguredError, match=r"7\.0 or newer.*6\.2\.7"):
        await connection.open()
    await connection.close()


async def test_a_server_that_says_nothing_is_unavailable_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "CONNECT_TIMEOUT_MS", 50)
    async with SpokenServer() as server:
        server._handshake = lambda command: None  # type: ignore[method-assign]  # a mute server
        server.answer = lambda command: None
        connection = Connection(server.url)
        with pytest.raises(UnavailableError, match="no answer within 50 ms"):
            await connection.open()
        await connection.close()


@pytest.mark.parametrize(
    "url",
    ["redis://:s3/cret@127.0.0.1:6379/0", "redis://me:s3cret@host:port/0", "s3cret"],
)
def test_an_unreadable_url_is_refused_without_a_word_of_it(url: str) -> None:
    with pytest.raises(MisconfiguredError) as caught:
        Connection(url)
    assert "s3" not in str(caught.value)
    assert "redis://" in str(caught.value)


async def test_a_call_from_another_event_loop_is_refused(connection: Connection) -> None:
    with pytest.raises(RuntimeError, match="event loop"):
        await asyncio.to_thread(asyncio.run, connection.command("ECHO", "1"))


async def test_what_nobody_expected_of_a_server_is_told_at_once_and_the_next_call_connects(
    server: SpokenServer,
) -> None:
    server.info = INFO.replace(b"7.0.15", b"next")
    connection = Connection(server.url)
    async with asyncio.timeout(2):
        with pytest.raises(UnavailableError, match="next"):
            await connection.open()
        server.info = INFO
        await connection.open()
    await connection.close()


async def test_a_lost_connection_counts_as_no_answer_until_the_next_one(
    server: SpokenServer, connection: Connection
) -> None:
    assert connection.is_answered
    server.answer = lambda command: None
    call = asyncio.ensure_future(connection.command("PING"))
    await server.holds(1)
    server.cut()
    with pytest.raises(UnavailableError):
        await call
    assert not connection.is_answered
    server.answer = lambda command: b"+PONG\r\n"
    await connection.command("PING")
    assert connection.is_answered


async def test_a_closed_connection_says_so_in_the_words_of_users(connection: Connection) -> None:
    await connection.close()
    with pytest.raises(UnavailableError, match="the client is closed, or was not opened"):
        await connection.command("PING")
