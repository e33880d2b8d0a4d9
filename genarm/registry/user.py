"""Who is at work, by the name that MLflow would use: the user of its server, or of this machine."""

import getpass


def user_name() -> str:
    """`$MLFLOW_TRACKING_USERNAME`, the name in `~/.mlflow/credentials`, or the login; empty where none is."""
    from mlflow.utils.credentials import read_mlflow_creds

    if name := read_mlflow_creds().username:
        return name
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):  # a container may run under a number without a name
        return ""
