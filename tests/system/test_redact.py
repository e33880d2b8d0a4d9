"""What may be shown of an address or a text: never a login, never a query, never a token."""

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
        ("https://to/ken@example.org/a", "https://example.org/a"),
        ("https://me:p#s@example.org/a", "https://example.org/a"),
        ("https://:pass@[::1]:80/a", "https://[::1]:80/a"),
        ("https://example.org/a#access_token=x", "https://example.org/a"),
        ("https://example.org/a?mail=a@b", "https://example.org/a"),
        ("postgresql+psycopg2://me:p w'@host:5432/db?password=x", "postgresql+psycopg2://host:5432/db"),
        ("s3://key:secret@bucket/a", "s3://bucket/a"),
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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at postgresql://me:se cr'et@host/db (down)", "at postgresql://host/db (down)"),
        ("401 for Authorization: Bearer abcdefgh12", "401 for Authorization: Bearer ***"),
        ("dsn 'host=h password=hunter2 user=me'", "dsn 'host=h password=*** user=me'"),
        ("{'token': 'abc', \"api_key\": \"d e\"}", "{'token': ***, \"api_key\": ***}"),
        ("403 at /a?X-Amz-Signature=ab12&x=1", "403 at /a?X-Amz-Signature=***&x=1"),
        (f"refused hf_{'a1' * 17}: expired", "refused ***: expired"),
        ("id 5 is token: '<s>', tokenizer=9f2c, eos_token='</s>'",) * 2,
        ("http://host:80: down; http://host:5000, ask me@host",) * 2,
    ],
)
def test_what_a_text_says_of_logins_and_tokens_is_removed(text, shown):
    assert redact(text) == shown


def test_a_secret_of_the_environment_is_found_wherever_it_stands(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "correct horse")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:p@ ss/w'@host:5000")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "parallel")
    text = "no answer from http://me:p@ ss/w'@host:5000: 'correct horse' is wrong; not parallel"
    assert redact(text) == "no answer from http://host:5000: '***' is wrong; not parallel"
