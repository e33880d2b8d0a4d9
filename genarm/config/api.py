"""How parameters name an API: by its address, and by the environment variable that holds the key."""

import re
from typing import Annotated

from pydantic import AfterValidator


def _is_an_address(url: str) -> str:
    if not re.match(r"https?://[^/\s@]+(/[^\s@?]*)?$", url):
        raise ValueError("an address is like http://localhost:8000/v1, without login or query")
    return url


def _is_a_name(key: str) -> str:
    if not re.match(r"[A-Z_][A-Z0-9_]*$", key):
        raise ValueError(  # what stands there may be the key itself, and is not shown
            "the name of an environment variable, in capital letters, and never the key itself"
        )
    return key


Address = Annotated[str, AfterValidator(_is_an_address)]
KeyName = Annotated[str, AfterValidator(_is_a_name)]
