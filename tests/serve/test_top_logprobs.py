"""The likeliest tokens at every position are those of a plain pass of base and ARMs, whole and streamed."""

import pytest
import torch
from served_toys import ASKED, HELLO, own, streamed
from toy_arms import TOKENS, as_peft_loads_it

from genarm.decoding import GuidedRequest
from genarm.errors import RequestError

# peft 0.21 asks transformers 5.23 by the old name
CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
GOOD = ASKED | {"messages": HELLO, "logprobs": True}


@pytest.fixture(scope="module")
def plain(toy, arms, lineup):
    """Log-probabilities [t, v] of the guided policy at temperature 1: `kind` by contrast, `curt` by sum."""
    models = {name: as_peft_loads_it(toy.model, arms[name]) for name in ("kind", "curt")}

    def logprobs(prompt, tokens):
        ids = torch.tensor([[*prompt, *tokens[:-1]]])
        with torch.no_grad():
            base, kind, curt = (
                m(ids).logits[0, len(prompt) - 1 :, :TOKENS].log_softmax(-1)
                for m in (toy.model, models["kind"], models["curt"])
            )
        return (base + 0.8 * (kind - base) + 0.4 * curt).log_softmax(-1)

    return logprobs


def equal(told, plainly, k, spell):
    """Position by position, the k likeliest of a plain pass, spelled, with their log-probabilities."""
    values, ids = plainly.topk(k)
    for position, row in enumerate(told):
        assert [token for token, _ in row] == [spell([i]) for i in ids[position].tolist()]
        assert [value for _, value in row] == pytest.approx(values[position].tolist(), abs=1e-4)


@pytest.mark.parametrize("sampling", [{}, {"temperature": 0.5, "top_p": 0.8, "top_k": 40}])
def test_a_chat_tells_them_whole_and_streamed(client, lineup, plain, sampling):
    """They are those of temperature 1 and of all tokens, however the drawn one is drawn."""
    want = own(lineup, **sampling)
    plainly = plain(lineup.decoder.prompt("hello"), want.tokens)
    body = GOOD | sampling | {"top_logprobs": 5}
    [choice] = client.post(CHAT, json=body).json()["choices"]
    whole = choice["logprobs"]["content"]
    parts = [chunk["choices"][0] for chunk in streamed(client, body)[1:-1]]
    assert [token for part in parts for token in part["logprobs"]["content"]] == whole
    assert len(whole) == len(want.tokens)
    told = [[(top["token"], top["logprob"]) for top in token["top_logprobs"]] for token in whole]
    equal(told, plainly, 5, lineup.decoder.tokenizer.decode)
    [bare] = client.post(CHAT, json=GOOD | sampling).json()["choices"]
    assert [token["top_logprobs"] for token in bare["logprobs"]["content"]] == [[]] * len(whole)


def test_completions_tell_them_with_the_drawn_token(client, lineup, plain):
    prompt = lineup.decoder.prompt("hello")
    body = ASKED | {"prompt": list(prompt), "logprobs": 3}
    [choice] = client.post(TEXT, json=body).json()["choices"]
    found, want = choice["logprobs"], own(lineup)
    values, _ = plain(prompt, want.tokens).topk(3)
    for row, likeliest, drawn in zip(found["top_logprobs"], values.tolist(), found["tokens"], strict=True):
        assert drawn in row and max(row.values()) == pytest.approx(likeliest[0], abs=1e-4)
        assert len(row) <= 4
    [zero] = client.post(TEXT, json=body | {"logprobs": 0}).json()["choices"]
    assert zero["logprobs"]["top_logprobs"] is None and zero["logprobs"]["tokens"] == found["tokens"]


@pytest.mark.parametrize(
    ("change", "says"),
    [({"top_logprobs": 21}, "20"), ({"top_logprobs": 2, "logprobs": False}, "goes with logprobs")],
)
def test_what_cannot_be_told_is_refused(client, change, says):
    answer = client.post(CHAT, json=GOOD | change)
    assert answer.status_code == 400 and says in answer.json()["error"]["message"]


def test_the_decoder_tells_none_without_rewards():
    with pytest.raises(RequestError, match="return_top is 3, and return_rewards is False"):
        GuidedRequest((1,), return_top=3)
