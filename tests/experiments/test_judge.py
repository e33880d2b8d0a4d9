"""The unit `judge-*`: who is compared with whom."""

import numpy as np
import toy_experiment as toy
from written_units import write_units

from genarm.experiments.measured import Measured


def test_a_row_of_one_seed_is_compared_with_every_seed_of_another(loaded):
    """Base over guided is one less guided over base, seed by seed, by its verdicts and in its interval."""
    values = toy.toy_experiment() | {"over": ["base", "guided"]}
    experiment = loaded(values)
    write_units(experiment, {"guided": 0.5})
    rows = {row: Measured(experiment, row) for row in values["methods"]}
    over_base = rows["guided"].outcomes("base", "vowels", "gold")
    assert over_base.shape == (2, 24)
    assert not np.array_equal(over_base[0], over_base[1])
    np.testing.assert_array_equal(rows["base"].outcomes("guided", "vowels", "gold"), 1 - over_base)
    assert rows["sharpened"].outcomes("guided", "vowels", "held_out").shape == (2, 24)
    assert rows["sharpened"].outcomes("base", "vowels", "gold").shape == (1, 24)
