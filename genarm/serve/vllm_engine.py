"""`genarm serve --engine vllm`: vLLM's own OpenAI server over base and champions, guided by genarm's plugin.

vLLM has an environment of its own, so its server is another process. This one starts and ends it, follows the
champions, and tells it of other versions.
"""

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from genarm.errors import ConfigError
from genarm.pipeline.project import Project
from genarm.serve.engine_choice import find_python, not_by_vllm
from genarm.serve.opening import Opener, read_pins
from genarm.serve.run import is_loopback
from genarm.serve.vllm_command import check_options, vllm_command
from genarm.serve.vllm_follow import Follower
from genarm.serve.vllm_middleware import KEY, MAX_BODY
from genarm.serve.vllm_swap import SOCKET, order
from genarm.serve.watcher import told
from genarm.system.process import ends_with_us
from genarm.system.signals import on_first_signal


def serve_by_vllm(
    project: Project,
    *,
    host: str,
    port: int,
    pins: list[str],
    slots: int,
    watch: float,
    max_body: int,
    more: Sequence[str],
    say: Callable[[str], None],
) -> int:
    """Run vLLM's server until it ends or SIGINT or SIGTERM comes, which is passed on; its exit status.

    `watch` are the seconds between two looks for other champions, 0 for none. Raises ConfigError for an
    address that is open to others without a key, and what `check_options` and `vllm_command` raise.
    """
    check_options(more)
    if not is_loopback(host) and not os.environ.get(KEY):
        raise ConfigError(
            f"without a key anybody who reaches {host} could use the server",
            hint=f"export {KEY}=..., or --host 127.0.0.1",
        )
    python = find_python(project.root)
    if without := not_by_vllm(project.params):
        say(f"not served by vLLM: {', '.join(without)}; genarm serve --engine builtin serves them")
    opener = Opener(project, read_pins(pins, list(project.params.dimensions)), slots)
    arms = opener.wanted()
    # Readable for this user alone; and near the root, since the name of a socket has 107 bytes at most.
    above = None if len(os.fsencode(gettempdir())) < 70 else "/tmp"
    with TemporaryDirectory(prefix="genarm-vllm-", dir=above) as private, opener.alone() as loading:
        folders = {dimension: opener.fetch(arm) for dimension, arm in arms.items()}
        drawn = project.params.respond.sampling
        command, environment = vllm_command(
            python, project.base, arms, folders,
            {dimension: project.params.train_config(dimension) for dimension in arms},
            dtype=project.params.base.dtype, host=host, port=port, slots=slots, more=more,
            sampling={"temperature": drawn.temperature, "top_p": drawn.top_p, "top_k": drawn.top_k},
        )  # fmt: skip
        say(f"starting vLLM with {told(arms)}")
        socket = Path(private) / "swap"
        follower = Follower(opener, arms, partial(order, socket), say)
        child = subprocess.Popen(
            command,
            env=os.environ | environment | {SOCKET: str(socket), MAX_BODY: str(max_body)},
            start_new_session=True,
        )
        stopping = False

        def stop() -> None:
            nonlocal stopping
            stopping = True
            child.terminate()

        with ends_with_us(child), on_first_signal(stop):
            while child.poll() is None and not socket.exists():
                time.sleep(0.1)
            loading.release()
            if child.poll() is None:
                say(f"serving at http://{host}:{port}/v1")
            while not stopping:
                try:
                    child.wait(watch or None)
                    break
                except subprocess.TimeoutExpired:
                    if socket.exists():
                        follower.look()
            status = child.wait()
    return 0 if stopping else status
