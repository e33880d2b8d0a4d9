"""The conversation: two answers from one stream, a history that follows the guided one, nothing lost."""

import io
import json
from dataclasses import replace

import pytest
import torch
from toy_arms import as_peft_loads_it, make_arm, plain_loop

from genarm.chat import terminal as chat
from genarm.chat.conversation import Chat, parse_weights, reply
from genarm.config import SamplingConfig
from genarm.decoding import GuidedRequest, load_decoder
from genarm.errors import ConfigError, ModelError, RequestError
from genarm.models import render, resolve
from genarm.models.arm import adapter_hash, read_card, write_card
from genarm.pipeline.project import Project
from genarm.types import Message

SAMPLING = SamplingConfig(temperature=1, max_new_tokens=12, seed=5, top_p=1.0)
PARAMS = """\
base: {{model: "{base}", dtype: float32}}
dimensions:
  kind: {{data: k.jsonl, judge: length, weight: 1}}
  curt: {{data: c.jsonl, judge: brief, weight: 1}}
respond: {{guidance: sum, sampling: {{temperature: 1, max_new_tokens: 12, seed: 5, top_p: 1.0}}}}
"""


@pytest.fixture(scope="module")
def arms(toy, tmp_path_factory):
    torch.set_num_threads(1)
    source, root = resolve(str(toy.folder)), tmp_path_factory.mktemp("arms")
    made = {n: make_arm(root / n, source, toy.model, seed=i) for i, n in enumerate(("kind", "curt"))}
    for name, folder in made.items():
        write_card(folder, replace(read_card(folder), dimension=name))
    return made


@pytest.fixture(scope="module")
def decoder(toy, arms):
    return load_decoder(resolve(str(toy.folder)), arms, dtype="float32", batch_size=2)


@pytest.fixture
def talk(toy, decoder):
    return Chat(decoder, toy.tokenizer, SAMPLING, ("kind", "curt"), {"kind": 2.0})


@pytest.fixture
def project(toy, arms, tmp_path):
    """A folder with parameters and, as challengers, both ARMs."""
    (tmp_path / "params.yaml").write_text(PARAMS.format(base=toy.folder))
    (tmp_path / "artifacts" / "arms").mkdir(parents=True)
    for name, folder in arms.items():
        (tmp_path / "artifacts" / "arms" / name).symlink_to(folder)
    return Project(tmp_path)


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("kind=2,curt=1", {"kind": 2.0, "curt": 1.0}),
        (" kind = .5 ,", {"kind": 0.5}),
        ("curt=0", {"curt": 0.0}),
    ],
)
def test_weights_are_read_as_typed(text, weights):
    assert parse_weights(text, ("kind", "curt")) == weights


@pytest.mark.parametrize(
    "part", ["kind", "kind=", "kind=two", "kind=-1", "kind=nan", "kind=inf", "kimd=1", "=1", "curt=2"]
)
def test_a_weight_that_cannot_be_used_is_named_with_the_known_arms(part):
    with pytest.raises(ConfigError, match="known ARMs: kind, curt") as caught:
        parse_weights(f"curt=1,{part}", ("kind", "curt"))
    assert repr(part) in str(caught.value)


def test_both_answers_are_what_the_plain_loop_gives(toy, arms, decoder):
    weights, history = {"kind": 1.5, "curt": 0.5}, [Message("user", "hello")]
    heard = []
    exchange = reply(decoder, toy.tokenizer, history, weights, SAMPLING, lambda *said: heard.append(said))
    base, guided = exchange.base, exchange.guided
    assert heard[-1] == (base.text, guided.text) and len(heard) > 2
    loaded = {name: as_peft_loads_it(toy.model, folder) for name, folder in arms.items()}
    prompt = tuple(render(toy.tokenizer, history))
    for answer, used in ((base, {}), (guided, weights)):
        request = GuidedRequest(prompt, used, max_new_tokens=12, seed=6)  # 5, and 1 message so far
        tokens, logprob, kl = plain_loop(toy.model, loaded, request)
        assert answer.tokens == tokens
        assert answer.base_logprob == pytest.approx(logprob, abs=1e-3)
        assert answer.kl == pytest.approx(kl, abs=1e-4)
    assert base.tokens != guided.tokens


def test_each_arm_guides_by_what_it_was_tuned_for(toy, arms, project, monkeypatch):
    """By the card; an ARM that is muted or not named needs no word."""
    cards = {n: replace(read_card(f), guidance="contrast" if n == "kind" else "sum") for n, f in arms.items()}
    monkeypatch.setattr(chat, "read_card", lambda folder: cards[folder.name])
    talk = chat.open_chat(
        project, {n: project.root / "artifacts" / "arms" / n for n in arms}, "kind=0.8,curt=0.5"
    )
    exchange = talk.say("hello")
    prompt = tuple(render(toy.tokenizer, [Message("user", "hello")]))
    loaded = {name: as_peft_loads_it(toy.model, folder) for name, folder in arms.items()}
    asked = GuidedRequest(
        prompt, {"kind": 0.8, "curt": 0.5}, max_new_tokens=12, seed=6, guidance={"kind": "contrast"}
    )
    assert exchange.guided.tokens == plain_loop(toy.model, loaded, asked)[0]
    assert chat.finished(exchange).renderables[0].columns[1]._cells[0].title == (
        "guided by kind=0.8 (contrast), curt=0.5"
    )
    assert chat.exchange_values(exchange)["guidance"] == {"kind": "contrast", "curt": "sum"}


def test_the_conversation_goes_on_from_the_guided_answer(talk):
    first = talk.say("one")
    second = talk.say("two")
    assert [m.content for m in talk.history] == ["one", first.guided.text, "two", second.guided.text]
    assert [m.role for m in talk.history] == ["user", "assistant"] * 2


def test_a_conversation_that_grew_too_long_is_kept_until_it_is_reset(talk, decoder):
    talk.say("one")
    before = list(talk.history)
    with pytest.raises(RequestError, match=f"the {decoder.context} which the model reads.*/reset"):
        talk.say("x" * decoder.context)
    assert talk.history == before
    assert chat.obey(talk, "/reset") == "the conversation is forgotten"
    assert talk.say("two").guided.tokens


def test_commands_change_the_weights_show_them_and_leave(talk):
    assert chat.obey(talk, "/weights curt=3") == "guided by curt=3"
    assert talk.weights == {"curt": 3.0}
    with pytest.raises(ConfigError):
        chat.obey(talk, "/weights nobody=1")
    assert chat.obey(talk, "/weights") == "guided by curt=3"
    assert "/quit" in chat.obey(talk, "/help")
    assert "no command /wieghts" in chat.obey(talk, "/wieghts")
    assert chat.obey(talk, "/quit") is None


def test_a_program_gets_one_json_object_a_line(project, monkeypatch, capsys):
    lines = "hello\n/weights curt=0\nhello\n/weights nobody=1\n" + "x" * 600 + "\n/quit\nunheard\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))
    chat.run_chat(project, as_json=True)
    printed = capsys.readouterr()
    first, muted = (json.loads(line) for line in printed.out.splitlines())
    assert first["weights"] == {"kind": 1.0, "curt": 1.0}  # what the ARMs were tuned for
    assert first["base"]["kl"] == 0 and first["guided"]["kl"] > 0
    assert first["base"]["text"] != first["guided"]["text"]
    assert muted["base"] == muted["guided"]
    rewards = first["rewards"]
    assert "".join(r["text"] for r in rewards) == first["guided"]["text"]
    assert len(rewards) == first["guided"]["tokens"] and set(rewards[0]["arms"]) == {"kind", "curt"}
    assert sum(r["base"] for r in rewards) == pytest.approx(first["guided"]["base_logprob"])
    assert "there is no ARM of that name" in printed.err and "which the model reads" in printed.err


def test_a_person_sees_both_answers_and_how_far_apart_they_are(project, capsys):
    chat.run_chat(project, "kind=2", once="hello")
    printed = capsys.readouterr()
    assert "base" in printed.out and "guided by kind=2" in printed.out
    assert "nats a token" in printed.out
    assert "no champion yet, so the challenger in artifacts/arms/kind" in " ".join(printed.err.split())


def test_without_any_arm_the_way_out_is_named(project):
    for name in ("kind", "curt"):
        project.layout.arm(name).unlink()
    with pytest.raises(ModelError, match="genarm run"):
        chat.run_chat(project, once="hello")


@pytest.mark.slow
def test_the_champion_is_fetched_where_there_is_one(project, arms, monkeypatch):
    from genarm import registry

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (project.root / "mlflow").mkdir()
    store = registry.connect(project.root)
    version = store.register("kind", arms["kind"], metrics={}, curves=[], lineage={})
    store.client.set_registered_model_alias("genarm-kind", "champion", str(version))
    store.snapshot(project.layout.champions, ["kind", "curt"])
    folders, sentences = chat.arms_in_use(project)
    assert folders["kind"] == project.layout.champion_arm("kind")
    assert adapter_hash(folders["kind"]) == adapter_hash(arms["kind"])
    assert folders["curt"] == project.layout.arm("curt")
    assert sentences[0] == "kind: the champion, version 1"
