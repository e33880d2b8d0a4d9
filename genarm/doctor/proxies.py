"""The proxy variables, and the HTTP client of Prefect, which reads them as it is made."""

import os
from pathlib import Path

from genarm.pipeline.check_result import CheckResult, fail, ok
from genarm.system.redact import redact

VARIABLES = ("http_proxy", "https_proxy", "all_proxy")


def proxies(root: Path) -> list[CheckResult]:
    """Check that Prefect's client can be made with these proxies and certificates."""
    named = {name: value for name, value in os.environ.items() if name.lower() in VARIABLES and value}
    try:
        import httpx

        httpx.Client().close()
    except Exception as error:  # an unknown scheme, no SOCKS library, no such certificate file
        causes = [*sorted(named), *(n for n in ("SSL_CERT_FILE", "SSL_CERT_DIR") if n in os.environ)]
        detail = f"Prefect's client does not start: {redact(str(error))}"
        return [fail("proxies", detail, f"correct or unset {', '.join(causes)}" if causes else "make setup")]
    if not named:
        return [ok("proxies", "none")]
    return [ok("proxies", f"{', '.join(sorted(named))}; not for {os.environ.get('no_proxy') or 'any host'}")]
