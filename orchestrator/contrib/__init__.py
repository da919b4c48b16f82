"""Extensions, imported by name: some need a library of their own, which is an extra."""
