"""What the deployment files decide agrees with what the program does."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import ValidationError

from sim_mcp.app.rooms import Needs
from sim_mcp.cli.exits import MISUSED
from sim_mcp.config import Settings
from sim_mcp.gateway.audit import LAST_WRITE_LIMIT_S
from sim_mcp.model.errors import InvalidInput
from sim_mcp.store.sealing import parse_keys
from sim_mcp.transports.http import LARGEST_MESSAGE_BYTES, SHUTDOWN_S
from tests.deploy.files import COMPOSE, DEPLOY, FILLED_IN, KUBERNETES, ROOT, pods

pytestmark = pytest.mark.requirement("R63")

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
UNIT = (DEPLOY / "sim-mcp.service").read_text(encoding="utf-8")
CLOSING_S = SHUTDOWN_S + Needs().drain_s + LAST_WRITE_LIMIT_S
"""Open streams, calls under way, the last row of each: what a server needs to end in order."""


def example_secrets() -> dict[str, str]:
    """Each placeholder that stands for a secret, by file and setting."""
    pairs = re.findall(r"^(\w+)=(.*)$", (DEPLOY / "example.env").read_text(encoding="utf-8"), re.MULTILINE)
    [secret] = KUBERNETES["secret.example.yaml"]
    found = {f"compose {name}": value for name, value in pairs}
    return found | {f"kubernetes {name}": value for name, value in secret["stringData"].items()}


@pytest.mark.requirement("R60")
@pytest.mark.parametrize("place", ["compose", "kubernetes"])
def test_nobody_serves_with_the_secrets_of_the_example(place: str) -> None:
    """Everybody can read them here, so the program must refuse to start with them."""
    secrets = example_secrets()
    with pytest.raises(ValidationError, match="shorter than 32 bytes"):
        Settings.model_validate({"auth_jwt_secret": secrets[f"{place} SIM_MCP_AUTH_JWT_SECRET"]})
    with pytest.raises(InvalidInput, match="not 32 bytes"):
        parse_keys(secrets[f"{place} SIM_MCP_ENCRYPTION_KEYS"])


def test_filled_in_copies_stay_out_of_version_control() -> None:
    """The names that the instructions give them."""
    ignored = (DEPLOY / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert {"/.env", "/kubernetes/secret.yaml"} <= set(ignored)
    assert {line.rsplit("/", 1)[-1] for line in ignored if line.startswith("/")} == FILLED_IN


def test_every_image_is_pinned_to_a_release() -> None:
    """By an official name with a tag that is no moving one; our own is built here."""
    named = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(named) == 2
    assert len(set(named)) == 1  # what was compiled for one runs on the other
    for image in [*named, COMPOSE["services"]["postgres"]["image"]]:
        assert re.fullmatch(r"docker\.io/library/(python|postgres):\d[\w.-]*", image)
    assert re.search(r"^ARG UV_VERSION=\d+\.\d+\.\d+$", DOCKERFILE, re.MULTILINE)
    installs = [line for line in DOCKERFILE.splitlines() if line.startswith("RUN uv sync")]
    assert len(installs) == 2
    for line in installs:
        assert {"--frozen", "--no-dev", "postgres", "speed"} <= set(line.split())


def test_one_port_leads_through_all_of_them() -> None:
    """What the image opens is what is probed, published and sent to."""
    [port] = re.findall(r"^EXPOSE (\d+)$", DOCKERFILE, re.MULTILINE)
    assert f'"--port", "{port}"]' in DOCKERFILE
    assert f"http://127.0.0.1:{port}/healthz" in DOCKERFILE
    assert COMPOSE["services"]["serve"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    [serve] = [pod["containers"][0] for name, _, pod in pods() if name == "sim-mcp"]
    assert serve["ports"] == [{"name": "http", "containerPort": int(port)}]
    [service] = [each for each in KUBERNETES["serve.yaml"] if each["kind"] == "Service"]
    assert service["spec"]["ports"][0]["targetPort"] == "http"


@pytest.mark.parametrize(("name", "pod"), [(name, pod) for name, _, pod in pods()])
def test_pods_have_the_time_to_end_in_order(name: str, pod: dict[str, Any]) -> None:
    """Killed before, a call would be without its last row until somebody reconciles it."""
    before_s = 0
    if name == "sim-mcp":
        *_, script = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
        [waited] = re.findall(r"sleep\((\d+)\)", script)
        before_s = int(waited)
        assert before_s >= 1
    assert pod["terminationGracePeriodSeconds"] >= before_s + CLOSING_S


def test_services_and_units_have_the_time_to_end_in_order() -> None:
    """The same, without a proxy to wait for; and what no restart can mend is not restarted."""
    for name in ("serve", "worker"):
        assert int(COMPOSE["services"][name]["stop_grace_period"].removesuffix("s")) >= CLOSING_S
    [stop_s] = re.findall(r"^TimeoutStopSec=(\d+)s$", UNIT, re.MULTILINE)
    assert int(stop_s) >= CLOSING_S
    assert f"RestartPreventExitStatus={MISUSED}" in UNIT.splitlines()


@pytest.mark.requirement("R66")
def test_the_ingress_lets_streams_and_sessions_live() -> None:
    """Nothing is collected or cut on its way, and one token stays with one server's memory."""
    [ingress] = KUBERNETES["ingress.yaml"]
    prefix = "nginx.ingress.kubernetes.io/"
    told = {key.removeprefix(prefix): value for key, value in ingress["metadata"]["annotations"].items()}
    assert ingress["spec"]["ingressClassName"] == "nginx"
    assert told["proxy-buffering"] == "off"
    assert min(int(told["proxy-read-timeout"]), int(told["proxy-send-timeout"])) >= 3600
    assert int(told["proxy-body-size"].removesuffix("m")) * 2**20 > LARGEST_MESSAGE_BYTES
    assert told["upstream-hash-by"] == "$http_authorization"


def test_servers_are_replaced_without_a_gap() -> None:
    """A new one is ready before an old one goes."""
    [deployment] = [
        each
        for each in KUBERNETES["serve.yaml"]
        if each["kind"] == "Deployment" and each["metadata"]["name"] == "sim-mcp"
    ]
    assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
