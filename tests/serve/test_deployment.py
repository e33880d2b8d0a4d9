"""deploy/, without containers or a cluster: what it names exists in genarm, and its parts fit together."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
from ruamel.yaml import YAML

from genarm.cli.main import app as cli
from genarm.serve.app import create_app
from genarm.serve.settings import ServeSettings

ROOT = Path(__file__).parents[2]
KINDS = {"kubernetes": "serve", "kubernetes-vllm": "vllm"}  # manifest and image
SECRET = re.compile("PASSWORD|SECRET|TOKEN|KEY", re.IGNORECASE)


def text(name: str) -> str:
    return (ROOT / "deploy" / name).read_text(encoding="utf-8")


def instructions(image: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile with their arguments, without comments."""
    lines = [line for line in text(f"{image}.Dockerfile").splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [(line.split()[0], " ".join(line.split()[1:])) for line in joined if line.strip()]


def only(image: str, name: str) -> str:
    """The argument of an instruction that stands once."""
    [found] = [argument for instruction, argument in instructions(image) if instruction == name]
    return found


def variables(image: str) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in only(image, "ENV").split())


def objects(manifest: str) -> dict[str, Any]:
    """The objects of a manifest by kind."""
    return {one["kind"]: one for one in YAML(typ="safe").load_all(text(f"{manifest}.yaml"))}


def pod(manifest: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The pods of a manifest, and their only container."""
    spec = objects(manifest)["Deployment"]["spec"]["template"]["spec"]
    [container] = spec["containers"]
    return spec, container


def parsed(image: str, more: list[str]) -> dict[str, Any]:
    """What `genarm serve` understands of an image's command with these arguments."""
    program, verb, *words = json.loads(only(image, "ENTRYPOINT"))
    assert program == "genarm"
    command = typer.main.get_command(cli).commands[verb]  # type: ignore[attr-defined]
    return command.make_context(verb, [*words, *more]).params


@pytest.mark.parametrize("image", KINDS.values())
def test_an_image_is_pinned_has_no_secret_and_does_not_run_as_root(image):
    assert re.fullmatch(r"python:3\.\d+-slim-\w+", only(image, "FROM"))
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for instruction, argument in instructions(image):
        assert not (instruction in ("ARG", "ENV") and SECRET.search(argument)), argument
        if instruction == "COPY":
            *sources, _ = argument.split()
            assert all((ROOT / source).exists() for source in sources)
        for install in re.findall(r"pip install [^&]*", argument):
            assert re.search(r"-c /constraints(-vllm)?\.txt", install) or install.split()[-2:] == [
                "--no-deps",
                ".",
            ]
            assert set(re.findall(r"\.\[(\w+)\]", install)) <= set(extras)
    user, _, group = only(image, "USER").partition(":")
    assert int(user) > 0 and int(group) > 0
    assert "/health" in only(image, "HEALTHCHECK") and only(image, "EXPOSE") == "8000"
    assert parsed(image, [])["host"] == "0.0.0.0" and parsed(image, [])["port"] == 8000


def test_vllm_is_that_of_make_and_lies_where_it_is_looked_for():
    from genarm.serve.engine_choice import ENVIRONMENT

    steps = " ".join(argument for instruction, argument in instructions("vllm") if instruction == "RUN")
    [version] = re.findall(r" vllm(==\S+)", steps)
    assert f"$(VLLM){version}" in (ROOT / "Makefile").read_text()
    place = [argument for instruction, argument in instructions("vllm") if instruction == "WORKDIR"][-1]
    assert f"python -m venv {place}/{ENVIRONMENT}" in steps and parsed("vllm", [])["engine"] == "vllm"


@pytest.mark.parametrize(("manifest", "image"), KINDS.items())
def test_the_server_understands_its_arguments_and_writes_where_it_may(manifest, image):
    spec, container = pod(manifest)
    asked = parsed(image, container["args"])
    [port] = container["ports"]
    assert asked["port"] == port["containerPort"] and asked["engine"] == (
        "vllm" if image == "vllm" else "builtin"
    )
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"]}
    assert len(mounts) == len(volumes)
    place = [argument for instruction, argument in instructions(image) if instruction == "WORKDIR"][-1]
    assert "configMap" in mounts[f"{place}/params.yaml"]
    if asked["keys"]:
        assert "secret" in mounts[str(asked["keys"].parent)]
    written = {path for path, volume in mounts.items() if "emptyDir" in volume}
    assert {f"{place}/.cache", "/tmp"} <= written
    for name, value in variables(image).items():
        assert not value.startswith("/") or any(Path(value).is_relative_to(path) for path in written), name


@pytest.mark.parametrize("manifest", KINDS)
def test_a_pod_may_do_nothing_but_serve(manifest):
    spec, container = pod(manifest)
    assert spec["automountServiceAccountToken"] is False and spec["enableServiceLinks"] is False
    around, inside = spec["securityContext"], container["securityContext"]
    assert (
        around["runAsNonRoot"]
        and around["runAsUser"]
        and around["seccompProfile"] == {"type": "RuntimeDefault"}
    )
    assert inside["readOnlyRootFilesystem"] and inside["allowPrivilegeEscalation"] is False
    assert inside["capabilities"] == {"drop": ["ALL"]}
    assert not [one["name"] for one in container["env"] if SECRET.search(one["name"])]
    [source] = container["envFrom"]
    name = source["secretRef"]["name"]
    commands = text(f"{manifest}.yaml").replace("\\\n#", "")
    [made] = re.findall(rf"create secret generic {name} .+", commands)
    assert {"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"} < set(re.findall(r"literal=(\w+)", made))


@pytest.mark.parametrize("manifest", KINDS)
def test_replicas_come_and_go_without_a_request_that_fails(manifest):
    made, (spec, container) = objects(manifest), pod(manifest)
    deployment, service, budget = (made[kind] for kind in ("Deployment", "Service", "PodDisruptionBudget"))
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["replicas"] > 1
    assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert deployment["spec"]["selector"]["matchLabels"] == labels == service["spec"]["selector"]
    assert budget["spec"] == {"maxUnavailable": 1, "selector": {"matchLabels": labels}}
    assert service["spec"]["sessionAffinity"] == "None"
    assert service["spec"]["ports"][0]["targetPort"] == container["ports"][0]["name"]
    options = dict(re.findall(r"--vllm-option=--([\w-]+)=(\w+)", " ".join(container["args"])))
    ending = int(options.get("shutdown-timeout", ServeSettings().stop_seconds))
    assert ending >= 30
    [before] = re.findall(r"\d+", str(container["lifecycle"]["preStop"]["exec"]["command"]))
    readiness = container["readinessProbe"]
    assert int(before) >= readiness["periodSeconds"] * readiness["failureThreshold"]
    assert spec["terminationGracePeriodSeconds"] >= int(before) + ending + 10


def test_probes_ask_what_the_server_has(service):
    routes = {route.path for route in create_app(service).routes}
    for probe, path in (("startup", "/ready"), ("readiness", "/ready"), ("liveness", "/health")):
        for manifest in KINDS:
            asked = pod(manifest)[1][f"{probe}Probe"]["httpGet"]
            assert asked == {"path": path, "port": "http"} and path in routes


def test_processors_and_gpus_are_those_that_are_asked_for():
    _, container = pod("kubernetes")
    [threads] = [one for one in container["env"] if one["name"] == "OMP_NUM_THREADS"]
    assert threads["valueFrom"]["resourceFieldRef"] == {
        "containerName": container["name"],
        "resource": "requests.cpu",
    }
    _, container = pod("kubernetes-vllm")
    [parallel] = re.findall(r"tensor-parallel-size=(\d+)", " ".join(container["args"]))
    gpus = container["resources"]["limits"]["nvidia.com/gpu"]
    refused = (ROOT / "genarm/vllm/engine_config.py").read_text()
    assert int(parallel) == gpus
    assert gpus == 1 or "tensor_parallel_size > 1" not in refused, "the plugin refuses more"
