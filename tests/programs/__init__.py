"""Programs as users write them: each one idea, run end to end and replayed by its test."""
