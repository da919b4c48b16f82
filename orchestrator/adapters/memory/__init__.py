"""Store and broker in one process: the same promises as the servers, for tests and first runs."""
