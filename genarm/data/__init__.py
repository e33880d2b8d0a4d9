"""Preference data: from files of any known format to checked pairs, and the data version in DVC."""
