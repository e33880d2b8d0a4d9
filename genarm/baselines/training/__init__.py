"""Rivals that are trained: each becomes an adapter on the base, with a card, that the decoder serves.

dpo      preference pairs, by our own trainer with `objective: dpo`
simpo    preference pairs, by TRL's CPOTrainer
rloo     RLHF by a reward model, by TRL's RLOOTrainer; with several and their weights it is MORL
soups    the mean of trained adapters' weights, by PEFT: Rewarded Soups
shallow  no rival, but the weak model that guides a strong one: the base with fewer layers

An adapter on the base's own weights that guides by contrast at weight 1 is the policy itself:
log p_base + (log p_adapted - log p_base). So each is answered with as an ARM is, in the same batches.
"""
