"""Files, processes, signals, progress, environment: what any program needs, with nothing of ours in it."""
