"""`genarm compare`: an experiment's methods on the same prompts, seeds and judges, in one table."""
