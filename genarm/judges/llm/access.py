"""Address and key of an API: the key comes from the environment, and is never shown."""

from dataclasses import dataclass, field
from importlib.util import find_spec
from urllib.parse import urlsplit

from genarm.config.judge import LlmJudgeConfig
from genarm.errors import JudgeError
from genarm.system.api_key import api_key
from genarm.system.redact import HIDDEN, redact

OPENAI = "https://api.openai.com/v1"
NEEDED = ("openai", "stamina")
NO_KEY = "none"  # the client demands one, and would otherwise send that of OPENAI_API_KEY anywhere
_SHOWN = 300  # characters of what a server says
_BEGINNING = 6  # characters of a key that are not shown either


@dataclass(frozen=True, slots=True)
class Access:
    """Where an API is, and the key to it; `variable` is where the key comes from."""

    url: str
    variable: str | None
    key: str = field(repr=False)

    @property
    def host(self) -> str:
        """The server's name and port, as a report shows it."""
        return urlsplit(self.url).netloc

    def shown(self, text: object, most: int = _SHOWN) -> str:
        """Words of the server in one line, shortened, without the key and other secrets."""
        words = " ".join(str(text).split())
        if self.key != NO_KEY:
            words = _without(self.key, words)
        words = redact(words)
        return words if len(words) <= most else f"{words[:most]}..."


def _without(key: str, words: str) -> str:
    """The words without the key, also without a beginning of it at which they were cut."""
    words = words.replace(key, HIDDEN)
    for length in range(len(key) - 1, _BEGINNING - 1, -1):
        if words.endswith(key[:length]):
            return words[:-length] + HIDDEN
    return words


def access(config: LlmJudgeConfig) -> Access:
    """Address and key of a judge. Raises JudgeError where a package or the key is not there."""
    if absent := [name for name in NEEDED if find_spec(name) is None]:
        raise JudgeError(
            f"a language model as judge needs the package {' and '.join(absent)}",
            hint="pip install 'genarm[judges]'",
        )
    url = (config.base_url or OPENAI).rstrip("/")
    if config.key is None:
        return Access(url, None, NO_KEY)
    return Access(url, config.key, api_key(config.key, url, JudgeError))
