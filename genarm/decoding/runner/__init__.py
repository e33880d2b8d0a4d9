"""Models: rows of a batch through layers, caches and adapters."""
