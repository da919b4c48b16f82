"""Later sources win, bad values name their source, and no error shows a password."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from orchestrator.config import (
    DEFAULT_FILES,
    EMBEDDED,
    ConnectionSettings,
    Settings,
    read_text,
    redact_url,
    resolve_settings,
)
from orchestrator.envconfig import ClientConfig
from orchestrator.exceptions import MisconfiguredError


def _resolve(
    arguments: Mapping[str, object] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    files: Mapping[str, str] | None = None,
) -> Settings:
    texts = {Path(name): text for name, text in (files or {}).items()}
    return resolve_settings(arguments or {}, environment=environment or {}, read_file=texts.get)


def test_nothing_given_means_local_servers_and_the_default_namespace() -> None:
    assert _resolve().connection == ConnectionSettings(
        broker="amqp://guest:guest@127.0.0.1:5672/",
        store="redis://127.0.0.1:6379/0",
        namespace="default",
    )


def test_a_file_wins_over_defaults() -> None:
    file = '[connection]\nnamespace = "f"\n[engine]\nqueue_type = "quorum"\nshards = 7\n'
    settings = _resolve(files={"orchestrator.toml": file})
    assert settings.connection.namespace == "f"
    assert (settings.engine.queue_type, settings.engine.shards) == ("quorum", 7)


def test_the_environment_wins_over_the_file() -> None:
    settings = _resolve(
        environment={"ORCHESTRATOR_NAMESPACE": "e", "ORCHESTRATOR_MAX_CACHED_WORKFLOWS": "9"},
        files={"orchestrator.toml": '[connection]\nnamespace = "f"'},
    )
    assert settings.connection.namespace == "e"
    assert settings.worker.max_cached_workflows == 9


def test_arguments_win_over_the_environment() -> None:
    environment = {"ORCHESTRATOR_NAMESPACE": "e"}
    assert _resolve({"namespace": "a"}, environment=environment).connection.namespace == "a"


def test_an_argument_of_none_and_an_empty_variable_are_not_given() -> None:
    settings = _resolve({"namespace": None}, environment={"ORCHESTRATOR_NAMESPACE": ""})
    assert settings == Settings()


def test_the_file_here_is_read_before_the_one_at_home() -> None:
    files = {str(path): f'[connection]\nnamespace = "n{i}"' for i, path in enumerate(DEFAULT_FILES)}
    assert _resolve(files=files).connection.namespace == "n0"
    del files[str(DEFAULT_FILES[0])]
    assert _resolve(files=files).connection.namespace == "n1"


def test_a_named_file_is_read_in_place_of_the_usual_ones() -> None:
    settings = _resolve(
        environment={"ORCHESTRATOR_CONFIG": "other.toml"},
        files={"orchestrator.toml": "broken", "other.toml": '[connection]\nnamespace = "o"'},
    )
    assert settings.connection.namespace == "o"


def test_memory_for_both_is_the_embedded_engine() -> None:
    assert _resolve({"broker": EMBEDDED, "store": EMBEDDED}).connection.embedded


@pytest.mark.parametrize("name", ["broker", "store"])
def test_memory_is_not_mixed_with_a_server(name: str) -> None:
    with pytest.raises(MisconfiguredError, match="cannot be mixed") as caught:
        _resolve({name: EMBEDDED})
    assert f"argument {name}" in str(caught.value)
    assert "default of" in str(caught.value)
    assert "guest:guest" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "text", "problem"),
    [
        ("SHARDS", "many", "whole number"),
        ("SHARDS", "0", "whole number"),
        ("QUEUE_TYPE", "fast", "classic, quorum"),
        ("DURABILITY", "none", "standard, durable, replicated"),
        ("NAMESPACE", "a b", "letters, digits"),
        ("BROKER", "http://h/", "amqp:// or amqps:// or memory://"),
        ("BROKER", "amqp:h", "amqp:// or amqps:// or memory://"),
        ("BROKER", "amqp:///", "expected a host"),
        ("STORE", "redis://h:port/", "well-formed URL"),
        ("STORE", "memory://x", "nothing more"),
        ("NAMESPAEC", "x", "is unknown"),
    ],
)
def test_a_bad_variable_is_named(variable: str, text: str, problem: str) -> None:
    with pytest.raises(MisconfiguredError, match=problem) as caught:
        _resolve(environment={f"ORCHESTRATOR_{variable}": text})
    assert f"environment variable ORCHESTRATOR_{variable}" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("not toml", "expected TOML"),
        ("[conection]", r"\[connection\], \[worker\], \[engine\], \[health\]; found 'conection'"),
        ("connection = 1", "must be a table"),
        ("[engine]\nshard = 1", r"\[engine\] takes .*shards.*; found 'shard'"),
        ("[engine]\nshards = true", "whole number"),
        ("[engine]\nqueue_type = [1]", "classic, quorum"),
        ("[connection]\nnamespace = 1", "expected text"),
        ("[connection]\nstore = 1", "expected a URL"),
    ],
)
def test_a_bad_file_is_named(text: str, problem: str) -> None:
    with pytest.raises(MisconfiguredError, match=problem) as caught:
        _resolve(files={"orchestrator.toml": text})
    assert "file orchestrator.toml" in str(caught.value)


@pytest.mark.parametrize("arguments", [{"shard": 1}, {"shards": "7"}, {"retention_ms": 1.5}])
def test_a_bad_argument_is_named(arguments: dict[str, object]) -> None:
    with pytest.raises(MisconfiguredError, match=f"argument '?{next(iter(arguments))}"):
        _resolve(arguments)


def test_a_named_file_that_is_missing_is_an_error() -> None:
    with pytest.raises(MisconfiguredError, match=r"ORCHESTRATOR_CONFIG: there is no file gone\.t"):
        _resolve(environment={"ORCHESTRATOR_CONFIG": "gone.toml"})


def test_variables_that_a_platform_sets_for_a_service_are_passed_over() -> None:
    names = ["SERVICE_HOST", "SERVICE_PORT_HTTP", "PORT", "PORT_80_TCP_ADDR", "WEB_SERVICE_HOST"]
    assert _resolve(environment={f"ORCHESTRATOR_{name}": "x" for name in names}) == Settings()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("amqp://u:s3cret@h:5672/v", "amqp://u:***@h:5672/v"),
        ("redis://:s3cret@h/0", "redis://:***@h/0"),
        ("amqp://u:s3/c@r#e?t@h/", "amqp://u:***@h/"),
        ("redis://u:s3cret@h1,u:s3cret@h2/0", "redis://u:***@h2/0"),
        ("redis://h/0?password=s3cret&db=1", "redis://h/0?password=***&db=1"),
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("memory://", "memory://"),
    ],
)
def test_a_password_is_hidden(url: str, shown: str) -> None:
    assert redact_url(url) == shown


@pytest.mark.parametrize("url", ["ftp://u:s3cret@h/", "amqp://u:s3[cret@h/", "amqp://u:s3cret@h:x"])
def test_an_error_shows_no_password(url: str) -> None:
    with pytest.raises(MisconfiguredError) as caught:
        _resolve({"broker": url})
    assert "cret" not in str(caught.value)


def test_the_text_of_settings_shows_no_password() -> None:
    assert "s3cret" not in repr(_resolve({"broker": "amqp://u:s3cret@h/"}))


def test_a_file_that_is_not_there_reads_as_none(tmp_path: Path) -> None:
    assert read_text(tmp_path / "gone.toml") is None


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(MisconfiguredError, match="cannot be read"):
        read_text(tmp_path)


def test_a_client_connects_as_file_and_environment_say(tmp_path: Path) -> None:
    file = tmp_path / "o.toml"
    file.write_text('[connection]\nnamespace = "f"\nstore = "redis://h/1"')
    config = ClientConfig.load_client_connect_config(
        config_file=str(file), override_env_vars={"ORCHESTRATOR_NAMESPACE": "e"}
    )
    assert config == {
        "broker": "amqp://guest:guest@127.0.0.1:5672/",
        "store": "redis://h/1",
        "namespace": "e",
    }


def test_file_and_environment_can_be_left_aside() -> None:
    config = ClientConfig.load_client_connect_config(
        config_file="gone.toml",
        disable_file=True,
        disable_env=True,
        override_env_vars={"ORCHESTRATOR_NAMESPACE": "e"},
    )
    assert config["namespace"] == "default"


def test_a_health_port_may_be_none_and_is_a_port() -> None:
    assert _resolve().health.health_port == 0
    environment = {"ORCHESTRATOR_HEALTH_PORT": "8080", "ORCHESTRATOR_HEALTH_HOST": "0.0.0.0"}
    health = _resolve(environment=environment).health
    assert (health.health_host, health.health_port) == ("0.0.0.0", 8080)
    with pytest.raises(MisconfiguredError, match="expected a port from 1 to 65535, or 0 for none"):
        _resolve({"health_port": 70_000})
    with pytest.raises(MisconfiguredError, match="expected an address"):
        _resolve({"health_host": ""})


def test_no_run_at_all_may_be_cached() -> None:
    assert _resolve({"max_cached_workflows": 0}).worker.max_cached_workflows == 0
