"""What tests of workflows and activities import.

Names and meanings are those of Temporal's Python SDK.
"""

from orchestrator.testing.activity import ActivityEnvironment
from orchestrator.testing.environment import WorkflowEnvironment

__all__ = ["ActivityEnvironment", "WorkflowEnvironment"]
