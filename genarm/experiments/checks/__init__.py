"""What is wrong with an experiment before anything is run, a file for each part of `experiment.yaml`.

Nothing here reads a model or a data file; `needs` alone looks at what lies on disk, once a run.
"""
