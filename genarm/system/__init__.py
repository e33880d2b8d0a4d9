"""Files, processes, signals, progress, environment; the paths of a project and the names of its metrics."""
