"""The stages of `dvc.yaml`, one file and one function each: files and parameters in, files out.

A stage asks no server, no git and no DVC; what it needs of them is handed in. Its `deps` in `dvc.yaml` cover
everything that its file imports, which `tests/pipeline/test_stage_dependencies.py` checks.
"""
