"""The card of an ARM, as written now and as written before."""

import json

import pytest
from toy_arms import card

from genarm.errors import AdapterError
from genarm.models import resolve
from genarm.models.arm import CARD, read_card, write_card


@pytest.fixture
def folder(toy, tmp_path):
    """A full model with its card."""
    from toys import toy_model

    toy_model(seed=7, layers=2).save_pretrained(tmp_path)
    toy.tokenizer.save_pretrained(tmp_path)
    write_card(tmp_path, card(resolve(str(toy.folder))))
    return tmp_path


def as_once_written(folder, **changes):
    """Rewrite a card with the field names of earlier versions."""
    fields = json.loads((folder / CARD).read_text())
    for name in ("id", "revision", "weights_sha256"):
        fields[f"base_{name}"] = fields.pop(f"model_{name}")
    del fields["guides_id"]
    (folder / CARD).write_text(json.dumps(fields | {"guides": None, "guides_revision": None} | changes))


def test_an_earlier_card_of_an_adapter_on_its_base_guides_that_base(folder):
    written = read_card(folder)
    as_once_written(folder, base_revision="v1")
    upgraded = read_card(folder)
    assert (upgraded.model_id, upgraded.model_weights_sha256) == (
        written.model_id,
        written.model_weights_sha256,
    )
    assert (upgraded.guides_id, upgraded.guides_revision) == (written.model_id, "v1")
    assert not upgraded.guides_another_model


def test_an_earlier_card_of_a_smaller_model_keeps_what_it_guides(folder):
    as_once_written(folder, base_id="small", base_revision="v1", guides="large", guides_revision=None)
    upgraded = read_card(folder)
    assert (upgraded.model_id, upgraded.model_revision) == ("small", "v1")
    assert (upgraded.guides_id, upgraded.guides_revision) == ("large", None)
    assert upgraded.guides_another_model


def test_a_card_without_a_field_is_refused_by_name(folder):
    fields = json.loads((folder / CARD).read_text())
    del fields["model_id"]
    (folder / CARD).write_text(json.dumps(fields))
    with pytest.raises(AdapterError, match="arm.json: model_id: Field required"):
        read_card(folder)
