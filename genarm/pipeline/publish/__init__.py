"""Results that last: where a run leaves them for others once it has decided."""
