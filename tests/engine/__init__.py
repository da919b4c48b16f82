"""The whole engine in one process, on the memory adapters: client, worker and duties together."""
