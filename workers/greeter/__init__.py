"""The first workflow a newcomer reads."""
