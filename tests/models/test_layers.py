"""What kind of attention each layer has, and how far it sees."""

from types import SimpleNamespace

import pytest
from toys import toy_model

from genarm.models.layers import FULL, SLIDING, attention_windows, decoder_layers, linear_modules


def config(**values):
    return SimpleNamespace(num_hidden_layers=2, **values)


def test_layers_without_kinds_slide_wherever_a_window_is_set():
    assert attention_windows(config()) == ([FULL, FULL], [None, None])
    assert attention_windows(config(sliding_window=4)) == ([SLIDING, SLIDING], [4, 4])


def test_layers_with_kinds_slide_where_their_kind_says_so():
    kinds = [SLIDING, FULL]
    assert attention_windows(config(layer_types=kinds, sliding_window=4)) == (kinds, [4, None])


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"layer_types": [FULL, "linear_attention"]}, "linear_attention"),
        ({"is_causal": False}, "not causal"),
        ({"use_bidirectional_attention": True}, "not causal"),
    ],
)
def test_other_attention_is_refused(values, says):
    with pytest.raises(ValueError, match=says):
        attention_windows(config(**values))


def test_linear_modules_are_named_below_their_layer():
    name, layers = decoder_layers(toy_model(layers=3))
    assert (name, len(layers)) == ("layers", 3)
    names = linear_modules(layers, lowest=2)
    assert len(names) == 7 and names[0] == "self_attn.q_proj"
