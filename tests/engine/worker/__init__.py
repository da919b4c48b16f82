"""Workers on the embedded engine, with and without faults."""
