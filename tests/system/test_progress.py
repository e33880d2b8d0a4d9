"""Progress where there is no terminal."""

from genarm.system.progress import counting


def test_it_is_a_line_every_tenth(capsys):
    with counting("work", 20, "steps") as advance:
        for _ in range(20):
            advance(1)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10 and lines[0] == "work: 2 of at most 20 steps"
