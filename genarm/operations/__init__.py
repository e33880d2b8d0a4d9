"""What an operator does by hand: change the registry, measure an ARM's accuracy, export an ARM."""
