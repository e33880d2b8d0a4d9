"""What is made of the end of a flow."""

import pytest

from genarm.cli.runs import interrupt_stays_one


def test_an_interrupt_is_one_though_prefects_server_was_stopped_by_it():
    with pytest.raises(KeyboardInterrupt), interrupt_stays_one():
        try:
            raise KeyboardInterrupt
        except BaseException:
            try:
                raise OSError("refused")
            except OSError as refused:
                raise ConnectionError("no server") from refused
    with pytest.raises(ConnectionError), interrupt_stays_one():
        raise ConnectionError("no server")


def test_ctrl_c_says_that_nothing_is_lost(run, answered, monkeypatch):
    """Typer by itself ends without a word."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("genarm.pipeline.stages.judge.judge", interrupted)
    code, _, err = run("judge", "length")
    assert code == 130 and err.startswith("stopped: nothing is lost")
