"""Reward models as judges: sequence-classification models that score a prompt with its response.

`conversation` makes token ids of the two, `weights` loads a model that is whole, `scorer` reads the scores in
batches, `load` makes judges of parameters.
"""
