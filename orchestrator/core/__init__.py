"""Deterministic rules: history → state → decision. No I/O, clock, log, thread or random source."""
