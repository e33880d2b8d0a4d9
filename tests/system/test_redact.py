"""What may be shown of an address: never a login, never a query."""

import pytest

from genarm.system.redact import redact, redact_url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:pass@example.org/a.jsonl?signature=x", "https://example.org/a.jsonl"),
        ("https://token@example.org/a", "https://example.org/a"),
        ("https://me:pa/ss@example.org:5000/a", "https://example.org:5000/a"),
        ("https://me:12/ss@example.org/a", "https://example.org/a"),
        ("https://me:p@s/s@example.org/a", "https://example.org/a"),
        ("https://me:p?s@example.org/a?signature=x", "https://example.org/a"),
        ("http://example.org:5000/api?mail=a@b", "http://example.org:5000/api"),
        ("http://[::1]:5000/api", "http://[::1]:5000/api"),
        ("hf://team/birds@v1", "hf://team/birds@v1"),
        ("sqlite:////tmp/mlflow.db?timeout=5", "sqlite:////tmp/mlflow.db"),
        ("data/a.jsonl", "data/a.jsonl"),
    ],
)
def test_an_address_loses_its_login_and_its_query(url, shown):
    assert redact_url(url) == shown


def test_every_address_in_a_text_is_redacted_and_the_rest_kept():
    text = "cannot read 'http://me:secret@host/a?b=secret': is it there? Ask me@host, or https://host/b."
    assert redact(text) == "cannot read 'http://host/a': is it there? Ask me@host, or https://host/b."
