"""Sources of preference data whose address holds a secret, such as the signature of a signed URL.

Prefect keeps the parameters of a flow, so the parameter holds the address without the secret. The rest stays
in the memory of the process that was given it; a flow that others start finds it in an environment variable
(`env://NAME`) or in a Secret block of Prefect (`secret://NAME`).
"""

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from genarm.data.files import check_names
from genarm.errors import DataError
from genarm.system.redact import redact_url

HINT = "give the address by name: env://NAME of an environment variable, or secret://NAME of a Prefect Secret"
_whole: dict[str, str] = {}  # what is shown -> what is fetched


def storable(source: str) -> str:
    """The source as it may be stored: of a URL, the part before its query.

    Raises DataError where a URL carries a user name or password, naming neither; and where a path is not
    UTF-8, which Prefect could not store.
    """
    if "://" not in source:
        check_names([Path(source)])
        return source  # a path, in which a question mark may be part of a glob
    shown = redact_url(source)
    if _has_login(source):
        raise DataError(
            f"{shown}: its address carries a user name or password",
            hint="leave them to ~/.netrc, AWS_* and the like, or: dvc remote modify --local",
        )
    return shown


def _has_login(url: str) -> bool:
    if url.startswith("hf://"):
        return redact_url(url) != url  # its own @ separates the revision
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:  # a password with a slash in it ends the address early
        return True
    return "@" in parts.netloc


def keep_in_memory(source: str) -> str:
    """What `storable` returns; in this process, `whole` leads from there to the source."""
    shown = storable(source)
    if shown != source:
        _whole[shown] = source
    return shown


def whole(shown: str) -> str:
    """The source that is fetched. Raises DataError where the variable or the block does not exist."""
    named = re.fullmatch(r"(env|secret)://([^/?#]+)", shown)
    if named is None:
        return _whole.get(shown, shown)
    kind, name = named.groups()
    source = os.environ.get(name, "") if kind == "env" else _secret(name)
    if not source:
        raise DataError(f"{shown}: there is no such {_KINDS[kind]}", hint=_WAYS[kind].format(name=name))
    return source


_KINDS = {"env": "environment variable", "secret": "Secret block on the Prefect server"}
_WAYS = {
    "env": "export {name}=... in the shell that starts genarm, genarm.flows.deploy or the worker",
    "secret": "from prefect.blocks.system import Secret; Secret(value=...).save('{name}')",
}


def _secret(name: str) -> str:
    from prefect.blocks.system import Secret

    try:
        block: Any = Secret.load(name)
    except ValueError:  # it is not there
        return ""
    return str(block.get())
