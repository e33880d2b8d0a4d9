"""An S3 over HTTP on loopback, moto in a process of its own: it forgets everything when it ends."""

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

# What an operator sets; no value is secret.
LOGIN = {
    "AWS_ACCESS_KEY_ID": "team",
    "AWS_SECRET_ACCESS_KEY": "ofTheTeam1",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@dataclass
class Store:
    """A server, and what clients of it have in their environment."""

    address: str
    process: "subprocess.Popen[bytes]"

    @property
    def environment(self) -> dict[str, str]:
        return LOGIN | {"AWS_ENDPOINT_URL": self.address}

    def client(self, service: str = "s3") -> Any:
        import boto3

        keys = {"aws_access_key_id": "team", "aws_secret_access_key": "ofTheTeam1"}
        return boto3.client(service, endpoint_url=self.address, region_name="us-east-1", **keys)

    def objects(self, bucket: str) -> dict[str, bytes]:
        """Everything in a bucket."""
        api = self.client()
        pages = api.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        names = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        return {name: api.get_object(Bucket=bucket, Key=name)["Body"].read() for name in names}

    def remove(self, bucket: str, *names: str) -> None:
        for name in names:
            self.client().delete_object(Bucket=bucket, Key=name)


@contextmanager
def s3_server(*buckets: str) -> Iterator[Store]:
    """A new server with these buckets."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with tempfile.NamedTemporaryFile("r") as log, open(log.name, "w") as lines:
        process = subprocess.Popen(command, stdout=lines, stderr=lines)
        try:
            store = Store(_address(log, process), process)
            for bucket in buckets:
                store.client().create_bucket(Bucket=bucket)
            yield store
        finally:
            process.kill()
            process.wait()


def _address(log: IO[str], process: "subprocess.Popen[bytes]") -> str:
    """Where it says that it runs."""
    told = ""
    for _ in range(600):
        told += log.read()
        if found := re.search(r"Running on (http://\S+)", told):
            return found[1]
        assert process.poll() is None, told
        time.sleep(0.1)
    raise AssertionError(f"it does not start: {told}")
