"""The stages of `dvc.yaml`, the project they run in, what they are handed, and the plan of a run."""
