"""Stages on other machines: what a worker has to be told, and the clone in which it works."""

from genarm.data.dvc_elsewhere import refuse_to_run as refuse_to_run
