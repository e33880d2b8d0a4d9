"""The stages of `dvc.yaml`, what they share, and the plan of a run."""
