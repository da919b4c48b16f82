"""Write rabbitmq/definitions.json and redis/users.acl: names, users and rights of both servers.

Run it from the checkout with the package installed: `python compose/generate.py`. The committed
files hold the development passwords, `<user>-development`. To have your own, set <USER>_PASSWORD
(WORKER_PASSWORD, CLIENT_PASSWORD …) for this script and for `docker compose` alike, for example in
`compose/.env`, which this script reads too. Other settings: ORCHESTRATOR_NAMESPACE and TASK_QUEUES
(separated by commas).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from orchestrator.adapters.rabbitmq import definitions
from orchestrator.adapters.rabbitmq.topology import QueueType
from orchestrator.adapters.redis import acl
from orchestrator.ids import check_namespace, check_task_queue

HERE = Path(__file__).parent
TASK_QUEUES = "orders,greeter"


def generate(environment: Mapping[str, str]) -> dict[Path, str]:
    """The text of each file."""
    namespace = check_namespace(environment.get("ORCHESTRATOR_NAMESPACE", "default"))
    task_queues = environment.get("TASK_QUEUES", TASK_QUEUES).split(",")
    users = {*acl.USERS, *(role.user for role in definitions.roles(namespace))}
    passwords = {
        user: environment.get(f"{user.upper()}_PASSWORD", f"{user}-development") for user in users
    }
    content = definitions.definitions(
        namespace,
        [check_task_queue(name.strip()) for name in task_queues],
        QueueType.CLASSIC,
        passwords=passwords,
    )
    return {
        HERE / "rabbitmq/definitions.json": definitions.as_file(content),
        HERE / "redis/users.acl": acl.as_file(namespace, passwords=passwords),
    }


def read_env_file(path: Path) -> dict[str, str]:
    """The `NAME=value` lines of a file; nothing when there is none."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    pairs = (line.partition("=") for line in lines if not line.lstrip().startswith("#"))
    return {name.strip(): value.strip().strip("\"'") for name, sign, value in pairs if sign}


def main() -> None:
    """Write both files."""
    for path, text in generate({**read_env_file(HERE / ".env"), **os.environ}).items():
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
