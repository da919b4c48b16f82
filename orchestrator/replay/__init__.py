"""History → user code → commands, without I/O: one run of a workflow in memory."""
