"""New data: what a source holds now, what that changes, and whether it waits for a person."""
