"""What an operator does by hand: the registry and an ARM's accuracy."""
