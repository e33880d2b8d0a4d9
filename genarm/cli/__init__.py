"""The command line, one command a verb; nothing imports it."""
