"""The seams to the outside: Protocols whose docstrings state atomicity, order, delivery and
errors."""
