"""Work in a forked child: libraries are imported already, so a death costs little, and is a real one.

A child can be told to die by SIGKILL just before its n-th write: a commit to a database, a request that
changes something on a server, or a change to a file. Nothing of the product is replaced for that.
"""

import contextlib
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faults_project import Ended, environment

FILE_WRITES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate"}


@dataclass(frozen=True, slots=True)
class Death:
    """When a child dies: before the write of this number, from 0.

    `torn`: where that write opens a file, the file is made empty first. `late`: where it starts DVC, so many
    seconds after. `instead`: what happens then instead, and the child lives.
    """

    write: int
    torn: bool = False
    late: float = 0.0
    instead: Callable[[], None] | None = None


NEVER = Death(1 << 30)


@dataclass(frozen=True, slots=True)
class Did:
    """What became of the work: its value; or the error it ended with; or its death; or that it did not end.

    `writes` counts what it wrote, up to its death.
    """

    value: Any = None
    error: str = ""
    hint: str = ""
    kind: str = ""  # of the error; its traceback is `trace`
    trace: str = ""
    killed: bool = False
    hung: bool = False
    writes: int = 0
    seconds: float = 0.0

    @property
    def crashed(self) -> bool:
        """Whether it ended with an error that names no way out, or that is none of genarm's."""
        return bool(self.kind) and not self.hint


def in_child(
    work: Callable[[], Any],
    *,
    root: Path,
    seconds: float,
    die: Death = NEVER,
    settings: Mapping[str, str] | None = None,
) -> Did:
    """Do some work in a forked process, with `root` as its folder; its value comes back as JSON.

    The caller must have no threads and no open database.
    """
    with tempfile.TemporaryDirectory() as folder:
        answer, count = Path(folder) / "answer", Path(folder) / "writes"
        began = time.monotonic()
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            _child(work, root, answer, count, die, settings or {})
        status = _wait(pid, began + seconds)
        took = time.monotonic() - began
        writes = int(count.read_text() or 0) if count.is_file() else 0
        if status is None:
            return Did(hung=True, writes=writes, seconds=took)
        if os.WIFSIGNALED(status) or not answer.is_file():
            return Did(killed=True, writes=writes, seconds=took)
        return Did(**json.loads(answer.read_text()), writes=writes, seconds=took)


def typed(root: Path, *words: str, seconds: float, settings: Mapping[str, str] | None = None) -> Ended:
    """A genarm command as a shell would run it, but in a forked child, where it need not import anything."""
    log = root.parent / f"{root.name}.typed"

    def work() -> int:
        from genarm.cli.main import main

        output = os.open(log, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
        for stream in (1, 2):
            os.dup2(output, stream)
        sys.argv = ["genarm", *words]
        sys.path.insert(0, str(root))
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0)
        except BaseException:
            traceback.print_exc()
            return 1
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
        return 0

    log.unlink(missing_ok=True)
    kept = {name: value for name, value in environment(root, settings).items() if name != "PYTHONPATH"}
    did = in_child(work, root=root, seconds=seconds, settings=kept)
    output = log.read_text(errors="replace") if log.is_file() else ""
    code = None if did.hung else did.value if not did.killed else -signal.SIGKILL
    return Ended(code, output, did.seconds)


def _wait(pid: int, until: float) -> int | None:
    """The status of a child, None where it had to be stopped."""
    while time.monotonic() < until:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status
        time.sleep(0.005)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def _child(
    work: Callable[[], Any],
    root: Path,
    answer: Path,
    count: Path,
    die: Death,
    settings: Mapping[str, str],
) -> None:
    from genarm.errors import GenarmError

    os.setpgid(0, 0)
    os.chdir(root)
    os.environ.update(settings)
    silence = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silence, stream)
    counter = Writes(root.resolve(), count, die)
    counter.watch()
    try:
        did: dict[str, Any] = {"value": work()}
    except GenarmError as error:
        did = {"error": error.message, "hint": error.hint, "kind": type(error).__name__}
    except BaseException as error:
        did = {"error": str(error), "kind": type(error).__name__, "trace": traceback.format_exc()}
    counter.on = False
    answer.write_text(json.dumps(did, default=str))
    os._exit(0)


class Writes:
    """Counts the writes of this process below a folder, and ends it before one of them."""

    def __init__(self, root: Path, count: Path, die: "Death") -> None:
        self.root, self.die, self.done, self.changed, self.on = str(root), die, 0, False, True
        self.count = os.open(count, os.O_CREAT | os.O_WRONLY)

    def watch(self) -> None:
        """Hear of every change from now on. There is no way back, so this is for a process of its own."""
        from requests import Session
        from sqlalchemy import event
        from sqlalchemy.engine import Engine

        send = Session.send

        def counted(session: Session, request: Any, **settings: Any) -> Any:
            if request.method != "GET" and "/search" not in request.url:
                self.write()
            return send(session, request, **settings)

        Session.send = counted  # type: ignore[method-assign]
        event.listen(Engine, "before_cursor_execute", self.statement)
        event.listen(Engine, "commit", self.commit)
        sys.addaudithook(self.hear)

    def statement(self, _connection: Any, _cursor: Any, text: str, *_: Any) -> None:
        """A statement: reading is committed, too, but is no write."""
        self.changed |= text.lstrip()[:6].upper() not in ("SELECT", "PRAGMA")

    def commit(self, _connection: Any) -> None:
        """A transaction is about to be committed."""
        if self.changed:
            self.write()
        self.changed = False

    def hear(self, name: str, arguments: tuple[Any, ...]) -> None:
        """An audit event: whether it changes a file of the project, or starts DVC, which does."""
        if not self.on:
            return
        if name == "open" and arguments[2] and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            if self.ours(arguments[0]):
                self.write(arguments[0] if arguments[2] & os.O_TRUNC else None)
        elif name in FILE_WRITES and any(self.ours(path) for path in arguments[:2]):
            self.write()
        elif name == "subprocess.Popen" and "dvc" in map(str, arguments[1]):
            self.write(starts=True)

    def ours(self, path: object) -> bool:
        """Whether a path lies below the project; locks are no writes."""
        with contextlib.suppress(TypeError):
            text = os.path.join(os.getcwd(), os.fsdecode(path))  # type: ignore[arg-type]
            return text.startswith(self.root) and not text.endswith(".lock")
        return False

    def write(self, opened: Any = None, *, starts: bool = False) -> None:
        """One more write is about to be done, and perhaps not."""
        if self.on and self.done >= self.die.write:
            self.on = False
            if self.die.instead:
                self.die.instead()
                return
            if starts and self.die.late:  # in the middle of what another process writes
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                signal.setitimer(signal.ITIMER_REAL, self.die.late)
                return
            if self.die.torn and opened is not None:
                os.close(os.open(opened, os.O_CREAT | os.O_TRUNC | os.O_WRONLY))
            os.kill(os.getpid(), signal.SIGKILL)
        self.done += 1
        os.pwrite(self.count, str(self.done).encode(), 0)
