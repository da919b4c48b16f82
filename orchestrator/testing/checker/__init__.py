"""The judge of a whole life: histories and the log of clients go in, findings come out."""
