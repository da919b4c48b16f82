"""`orchestrator bench`: what a workflow costs on the user's own servers, beside the raw cost of the
same calls in the same run."""
