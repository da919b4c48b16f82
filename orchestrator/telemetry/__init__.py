"""Logs and counters of a process. No other package names structlog."""
