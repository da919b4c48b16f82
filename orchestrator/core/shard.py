"""(namespace, workflow id) → shard. Frozen for ever: golden tests hold it."""

from __future__ import annotations

from hashlib import blake2b

from orchestrator.ids import Namespace, ShardId, WorkflowId


def shard_of(namespace: Namespace, workflow_id: WorkflowId, *, shards: int) -> ShardId:
    """The shard that holds every key of `workflow_id`, from 0 to `shards` - 1."""
    digest = blake2b(f"{namespace}\0{workflow_id}".encode(), digest_size=8).digest()
    return ShardId(int.from_bytes(digest, "big") % shards)


def owners(shards: int, members: tuple[str, ...], member: str) -> tuple[ShardId, ...]:
    """The shards of `member` when `members` share them: for each shard the member with the highest
    hash. A member that comes or goes moves only its own share."""
    return tuple(ShardId(shard) for shard in range(shards) if _highest(shard, members) == member)


def _highest(shard: int, members: tuple[str, ...]) -> str:
    return max(
        members, key=lambda name: blake2b(f"{shard}\0{name}".encode(), digest_size=8).digest()
    )
