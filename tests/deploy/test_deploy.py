"""The deployment files name what exists, run without rights that they do not need, and hold no secret."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from sim_mcp.cli.program import build
from sim_mcp.cli.serve import _parser
from sim_mcp.config import known_variables
from sim_mcp.model.credentials import credentials_in
from sim_mcp.telemetry.metrics import ProcessMetrics
from tests.deploy.files import BUNDLE, COMPOSE, DEPLOY, FILES, KUBERNETES, OURS, ROOT, pods

pytestmark = pytest.mark.requirement("R63")

PRIVATE = {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "127.0.0.0/8"}


def command_lines() -> Iterator[tuple[str, list[str]]]:
    """Every way in which a file starts the program, without its name."""
    docker = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    [command] = re.findall(r"^CMD (\[.*\])$", docker, re.MULTILINE)
    yield "Dockerfile", json.loads(command)
    for name in OURS:
        yield name, COMPOSE["services"][name]["command"]
    for name, _, pod in pods():
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            yield f"{name}/{container['name']}", container["args"]
    unit = (DEPLOY / "sim-mcp.service").read_text(encoding="utf-8")
    [started] = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    yield "systemd", shlex.split(started)[1:]
    arguments = BUNDLE["server"]["mcp_config"]["args"]
    yield "bundle", arguments[arguments.index("sim-mcp") + 1 :]
    for path in FILES:  # what the comments and the texts tell people to type
        for told in re.findall(r"`sim-mcp ([a-z][^`]*)`", path.read_text(encoding="utf-8")):
            yield f"text of {path.name}", shlex.split(told)


@pytest.mark.parametrize(("where", "arguments"), [*command_lines()])
def test_every_command_line_is_one_that_the_program_takes(where: str, arguments: list[str]) -> None:
    """A verb that is there, with options that it knows."""
    if arguments[0] == "serve":
        _parser().parse_args(arguments[1:])
        return
    command: Any = get_command(build())
    rest = list(arguments)
    while hasattr(command, "commands"):
        assert rest, where
        assert rest[0] in command.commands, where
        command = command.commands[rest.pop(0)]
    command.make_context(where, rest)  # parses, and runs nothing


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_setting_is_one_that_the_program_knows(path: Path) -> None:
    """A misspelt one would stop the server at its start."""
    named = set(re.findall(r"SIM_MCP_[A-Z0-9_]+", path.read_text(encoding="utf-8")))
    assert named <= set(known_variables())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_file_holds_a_secret(path: Path) -> None:
    """Only words that ask to be replaced."""
    text = path.read_text(encoding="utf-8")
    found = [text[start:end] for start, end in credentials_in(text)]
    assert [each for each in found if "change-me" not in each and "${" not in each] == []
    for name, value in re.findall(r"^ *(\w*(?:KEYS?|SECRET|PASSWORD))[=:] *(\S+)", text, re.MULTILINE):
        assert value.startswith(("change-me", "${", "$", "…")), name


def test_the_image_runs_without_root_and_tells_whether_it_is_well() -> None:
    """By number, so that a cluster can check it; the probe needs no program beside the interpreter."""
    stage = (ROOT / "Dockerfile").read_text(encoding="utf-8").split("\nFROM ")[-1]
    assert re.findall(r"^USER (.*)$", stage, re.MULTILINE) == ["10001:10001"]
    assert re.search(r"^HEALTHCHECK .*\\\n  CMD \[\"python\", .*/healthz", stage, re.MULTILINE)
    assert 'ENTRYPOINT ["sim-mcp"]' in stage
    assert stage.index("USER 10001") < stage.index("ENTRYPOINT")
    copied = re.findall(
        r"^COPY ([^-].*) \S+$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE
    )
    for name in " ".join(copied).split():
        assert (ROOT / name).exists()
        assert f"!{name}" in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("name", [*COMPOSE["services"]])
def test_composed_services_have_no_rights_that_they_do_not_need(name: str) -> None:
    """Read-only, without capabilities and without root, the database too."""
    service = COMPOSE["services"][name]
    assert service["read_only"] is True
    assert "/tmp" in service["tmpfs"]  # noqa: S108  # the container's own
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    if name in OURS:
        assert "user" not in service  # the image's own, which is a number
    else:
        assert not str(service["user"]).startswith(("0", "root"))


@pytest.mark.parametrize("name", OURS)
def test_composed_services_start_in_their_order(name: str) -> None:
    """The database, then its tables, then who works on them; what has no open port is asked for no health."""
    service = COMPOSE["services"][name]
    before = {"migrate": "postgres", "sandbox": "serve"}.get(name, "migrate")
    condition = "service_completed_successfully" if before == "migrate" else "service_healthy"
    assert service["depends_on"] == {before: {"condition": condition}}
    assert (name == "serve") != (service.get("healthcheck") == {"disable": True})
    if name != "sandbox":
        assert service["environment"]["SIM_MCP_ENCRYPTION_KEYS"].endswith(":?}")


def test_the_composed_sandbox_is_optional_and_within_reach_of_the_server() -> None:
    """It listens on loopback, so it lives in the server's network; it knows no secret and can be stopped."""
    sandbox = COMPOSE["services"]["sandbox"]
    assert sandbox["profiles"] == ["sandbox"]
    assert sandbox["network_mode"] == "service:serve"
    assert sandbox["environment"] == {}
    port = sandbox["command"][sandbox["command"].index("--port") + 1]
    example = (DEPLOY / "example.env").read_text(encoding="utf-8")
    assert f"#SIM_MCP_SIM_ALLOWED_HOSTS=127.0.0.1:{port}" in example.splitlines()


@pytest.mark.parametrize(("name", "labels", "pod"), [*pods()])
def test_pods_keep_the_restricted_standard(name: str, labels: dict[str, str], pod: dict[str, Any]) -> None:
    """Without root, with a read-only file system, in two replicas, stopped in their own time."""
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001  # the image's own
    assert pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False  # SIM_MCP_PORT of a service is no setting, and would be refused
    [spread] = pod["topologySpreadConstraints"]
    assert spread["labelSelector"]["matchLabels"] == labels
    for container in [*pod["containers"], *pod["initContainers"]]:
        rights = container["securityContext"]
        assert set(rights) == {"allowPrivilegeEscalation", "readOnlyRootFilesystem", "capabilities"}
        assert rights["allowPrivilegeEscalation"] is False
        assert rights["readOnlyRootFilesystem"] is True
        assert rights["capabilities"]["drop"] == ["ALL"]
        assert "memory" in container["resources"]["limits"]
    [deployment] = [
        each
        for found in KUBERNETES.values()
        for each in found
        if each["kind"] == "Deployment" and each["metadata"]["name"] == name
    ]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert deployment["spec"]["replicas"] == 2


def test_probes_ask_for_routes_that_are_there() -> None:
    """Ready only with the database; alive without."""
    [pod] = [pod for name, _, pod in pods() if name == "sim-mcp"]
    [container] = pod["containers"]
    asked = {
        kind: container[kind]["httpGet"]["path"]
        for kind in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert asked == {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
    source = (ROOT / "sim_mcp" / "transports" / "http.py").read_text(encoding="utf-8")
    for path in asked.values():
        assert f'Route("{path}"' in source


def test_the_manifests_fit_together() -> None:
    """Each is listed, the example of the secret is not; service and ingress lead to the server's port."""
    listed = set(KUBERNETES["kustomization.yaml"][0]["resources"])
    assert listed == set(KUBERNETES) - {"kustomization.yaml", "secret.example.yaml"}
    [service] = [each for each in KUBERNETES["serve.yaml"] if each["kind"] == "Service"]
    [labels] = [labels for name, labels, _ in pods() if name == "sim-mcp"]
    assert service["spec"]["selector"] == labels
    [ingress] = KUBERNETES["ingress.yaml"]
    [path] = ingress["spec"]["rules"][0]["http"]["paths"]
    assert path["backend"]["service"]["name"] == service["metadata"]["name"]
    hosts = [rule["host"] for rule in ingress["spec"]["rules"]]
    assert ingress["spec"]["tls"][0]["hosts"] == hosts
    [budget] = [each for each in KUBERNETES["serve.yaml"] if each["kind"] == "PodDisruptionBudget"]
    assert budget["spec"]["selector"]["matchLabels"] == labels
    [config] = KUBERNETES["config.yaml"]
    assert config["data"]["SIM_MCP_PUBLIC_URL"] == f"https://{hosts[0]}"


@pytest.mark.requirement("R39")
def test_the_network_policy_keeps_https_outside() -> None:
    """Whatever a tenant's base URL resolves to: nothing private, and no metadata service."""
    [policy] = KUBERNETES["network.yaml"]
    [outside] = [rule for rule in policy["spec"]["egress"] if "ipBlock" in rule["to"][0]]
    assert set(outside["to"][0]["ipBlock"]["except"]) >= PRIVATE
    assert outside["ports"] == [{"protocol": "TCP", "port": 443}]
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    for _, labels, _ in pods():
        assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    [inside] = policy["spec"]["ingress"]
    assert inside["ports"] == [{"protocol": "TCP", "port": 8765}]
    assert [set(each) for each in inside["from"]] == [{"namespaceSelector"}]


@pytest.mark.requirement("R43")
def test_the_grafana_dashboard_asks_for_metrics_that_there_are() -> None:
    """With the labels that they have."""
    board = json.loads((DEPLOY / "grafana" / "sim-mcp.json").read_text(encoding="utf-8"))
    asked = " ".join(target["expr"] for panel in board["panels"] for target in panel["targets"])
    text, _ = ProcessMetrics(names_tenants=True, gauges=lambda: ()).text()
    known = set(re.findall(r"^# TYPE (sim_mcp_\w+) ", text.decode(), re.MULTILINE))
    named = {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"sim_mcp_\w+", asked)}
    assert named <= known
    assert len(named) >= 6
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_the_unit_is_hardened() -> None:
    """One directory to write to, no further rights, and time to finish what runs."""
    unit = (DEPLOY / "sim-mcp.service").read_text(encoding="utf-8")
    for line in (
        "DynamicUser=yes",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "StateDirectory=sim-mcp",
        "CapabilityBoundingSet=",
        "TimeoutStopSec=30s",
    ):
        assert line in unit.splitlines()
