"""How long a server asks to wait before the same request is sent again."""

import math
from email.utils import parsedate_to_datetime
from time import time


def retry_after(header: str) -> float | None:
    """Seconds of a `Retry-After`: a number, or the time of day (RFC 9110, section 10.2.3); None: neither."""
    text = header.strip()
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - time()
        except (ValueError, TypeError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
