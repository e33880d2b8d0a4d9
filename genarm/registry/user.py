"""Who is at work, by the name that MLflow would use: the user of its server, or of this machine."""

import getpass

from genarm.system.redact import redact


def user_name() -> str:
    """`$MLFLOW_TRACKING_USERNAME`, the name in `~/.mlflow/credentials`, or the login; empty where none is.

    Some servers take a token for the name as well. Such a one is a secret, which a tag must not show.
    """
    from mlflow.utils.credentials import read_mlflow_creds

    known = read_mlflow_creds()
    if known.username and known.username != known.password and redact(known.username) == known.username:
        return known.username
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):  # a container may run under a number without a name
        return ""
