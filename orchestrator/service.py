"""What an operation that was refused raises, under the module's name in Temporal's Python SDK."""

from orchestrator.exceptions import RPCError, RPCStatusCode

__all__ = ["RPCError", "RPCStatusCode"]
