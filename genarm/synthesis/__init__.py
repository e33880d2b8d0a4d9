"""Preference data made from a base model and scorers: the embedded default's seed."""
