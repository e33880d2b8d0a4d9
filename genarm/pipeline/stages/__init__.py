"""The stages of `dvc.yaml`, one file and one function each: files and parameters in, files out.

A stage asks no server, no git and no DVC; what it needs of them is handed in. Each file's imports are what the
stage's `deps` in `dvc.yaml` list, which `tests/pipeline/test_stage_dependencies.py` checks.
"""
