"""What workflow and activity code has, on both kinds of adapters."""
