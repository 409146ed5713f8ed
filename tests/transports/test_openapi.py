"""The OpenAPI document: valid, complete, true, the same everywhere, and reviewed."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from openapi_schema_validator import OAS31Validator
from schemathesis.specs.openapi import definitions

from sim_mcp.model.principal import ALL_PERMISSIONS
from sim_mcp.transports.openapi import DOCUMENT_PATH, document_text
from sim_mcp.transports.problems import HTTP_STATUS, INTERNAL_ERROR_CODE
from sim_mcp.transports.rest import ROUTES
from sim_mcp.transports.rest_examples import EXAMPLES
from sim_mcp.transports.rest_views import BASE_PATH
from tests.transports.rest_document import DOCUMENTED, Documented
from tests.transports.web import ALL, Web, bearer, open_web

REVIEWED = Path(__file__).parents[2] / "docs" / "openapi.json"
DOCUMENT = DOCUMENTED.document


CONTRACT = """
POST /setup ADD
GET /settings VIEW
DELETE /settings DELETE
POST /workflows/{workflowId}/execute EDIT
GET /workflows/{workflowId}/validate VIEW
GET /workflows VIEW
GET /jobs/{jobId}/status VIEW
GET /executions VIEW
GET /executions/{id} VIEW
POST /executions/{id}/cancel EDIT
POST /executions/{id}/resume EDIT
GET /status/{integrationTenantId} VIEW
GET /integration-tenant/{integrationTenantId} VIEW
GET /health VIEW
"""
"""Section 8 of the public contract, without events, schedules and metrics."""


@pytest.fixture
async def web(tmp_path: Path) -> AsyncGenerator[Web]:
    """Two tenants with nothing connected."""
    async with open_web(tmp_path, connect={}) as opened:
        yield opened


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and operation of everything in the document."""
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


@pytest.mark.requirement("R53")
def test_the_reviewed_copy_is_what_is_served(request: pytest.FixtureRequest) -> None:
    """A change of the API is seen in review. Run with `--regenerate` to write it anew."""
    if request.config.getoption("--regenerate"):
        REVIEWED.write_text(document_text(ROUTES), encoding="utf-8")
    assert REVIEWED.read_text(encoding="utf-8") == document_text(ROUTES)


def test_the_document_is_openapi_3_1() -> None:
    """By the specification's own schema, and every schema in it by JSON Schema's."""
    validator = cast("Any", definitions).OPENAPI_31_VALIDATOR
    assert [error.message for error in validator.iter_errors(DOCUMENT)] == []
    for schema in DOCUMENT["components"]["schemas"].values():
        OAS31Validator.check_schema(schema)


def test_every_reference_leads_somewhere_and_nothing_is_left_over() -> None:
    """No tool stumbles over a missing part, and no part is there for nobody."""
    places = set(re.findall(r'"#/components/([^"]+)"', json.dumps(DOCUMENT)))
    known = {
        f"{kind}/{name}"
        for kind, parts in DOCUMENT["components"].items()
        if kind != "securitySchemes"
        for name in parts
    }
    assert places == known


@pytest.mark.requirement("R53")
def test_routes_and_document_name_the_same_things() -> None:
    """Every route is documented, and nothing else but the document itself."""
    documented = {(method, path) for method, path, _ in operations()}
    assert documented == {(row.method, row.path) for row in ROUTES} | {("GET", DOCUMENT_PATH)}
    ids = [operation["operationId"] for _, _, operation in operations()]
    assert len(ids) == len(set(ids))


@pytest.mark.requirement("R45", "R46", "R47", "R48", "R49", "R50", "R51", "R52")
def test_the_public_contract_is_served_row_by_row() -> None:
    """Nobody who relies on it has to look elsewhere."""
    served = {f"{row.method} {row.path} {row.operation.permission.name}" for row in ROUTES}
    assert set(CONTRACT.strip().splitlines()) - served == set()


def test_every_operation_tells_what_its_reader_needs() -> None:
    """Words, permission, security, parameters with bounds, and the errors that everybody may get."""
    for method, path, operation in operations():
        assert operation["summary"]
        assert operation["description"]
        if path == DOCUMENT_PATH:
            assert operation["security"] == []
            continue
        assert operation["x-permission"] in ALL
        assert operation["x-permission"] in operation["description"]
        assert operation["security"] == [{"bearer": []}]
        assert set(operation["responses"]) >= {"400", "401", "403", "421", "500", "503"}
        assert ("413" in operation["responses"]) >= (method == "POST")
        named = re.findall(r"\{(\w+)\}", path)
        parameters = [DOCUMENTED.at(each) for each in operation["parameters"]]
        assert [each["name"] for each in parameters if each["in"] == "path"] == named
        assert all(each["description"] for each in parameters)
        for each in parameters:
            if each["in"] != "header":
                assert each["schema"].keys() & {"maxLength", "maximum", "format", "$ref"}, each


def test_every_failed_answer_has_the_one_shape_and_exact_codes() -> None:
    """Which codes stand behind a status is part of the promise."""
    statuses: dict[str, set[int]] = {}
    for _, _, operation in operations():
        for status, place in operation["responses"].items():
            response = DOCUMENTED.at(place)
            assert "X-Request-Id" in response["headers"]
            if int(status) < 400:
                continue
            schema = response["content"]["application/json"]["schema"]
            for choice in schema.get("anyOf", [schema]):
                if "properties" not in choice:
                    continue
                assert choice["$ref"] == "#/components/schemas/Problem"
                assert choice["properties"]["statusCode"] == {"const": int(status)}
                for code in choice["properties"]["code"]["enum"]:
                    statuses.setdefault(code, set()).add(int(status))
    expected = {code.value: {status} for code, status in HTTP_STATUS.items()}
    expected["FORBIDDEN"].add(421)
    expected["SIM_UNAVAILABLE"].add(503)
    assert statuses == expected | {INTERNAL_ERROR_CODE: {500}}


def test_every_example_fits_its_schema() -> None:
    """What a reader copies works."""
    seen = 0
    for name, schema in DOCUMENT["components"]["schemas"].items():
        for example in schema.get("examples", []):
            seen += 1
            assert DOCUMENTED.faults_of(example, {"$ref": f"#/components/schemas/{name}"}) == [], name
    assert seen == len(EXAMPLES)
    for name, response in DOCUMENT["components"]["responses"].items():
        content = response["content"]["application/json"]
        assert DOCUMENTED.faults_of(content["example"], content["schema"]) == [], name
    for name, parameter in DOCUMENT["components"]["parameters"].items():
        assert DOCUMENTED.faults_of(parameter["example"], parameter["schema"]) == [], name


@pytest.mark.anyio
@pytest.mark.requirement("R33")
@pytest.mark.parametrize("row", ROUTES, ids=lambda row: f"{row.method} {row.path}")
async def test_the_declared_permission_is_the_one_that_is_enforced(web: Web, row: Any) -> None:
    """With every other one: 403 that names it. With it alone: anything else."""
    path = re.sub(r"\{\w+\}", "x", row.path)
    body: Any = None if row.operation.body is None else EXAMPLES[row.operation.body]
    more: dict[str, Any] = {} if body is None else {"json": body}
    needed = row.operation.permission.value
    others = [each.value for each in ALL_PERMISSIONS if each.value != needed]
    refused = await web.ask(row.method, path, by=bearer("acme", permissions=others), **more)
    assert (refused.status_code, refused.json()["code"]) == (403, "FORBIDDEN")
    assert needed in refused.json()["message"]
    alone = await web.ask(row.method, path, by=bearer("acme", permissions=[needed]), **more)
    assert alone.status_code not in {401, 403}


@pytest.mark.anyio
async def test_the_document_is_for_everybody_and_the_rest_is_not(web: Web) -> None:
    """It tells nothing about anybody; foreign hosts and pages are refused as everywhere."""
    answer = await web.ask("GET", DOCUMENT_PATH, by={})
    assert (answer.status_code, answer.text) == (200, document_text(ROUTES))
    assert answer.headers["content-type"] == "application/json"
    assert (await web.ask("HEAD", DOCUMENT_PATH, by={})).status_code == 200
    wrong = await web.ask("POST", DOCUMENT_PATH, by={})
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET, HEAD")
    foreign = await web.ask("GET", DOCUMENT_PATH, by={"origin": "https://evil.example"})
    assert foreign.status_code == 403
    for path in (f"{DOCUMENT_PATH}/", "/openapi", "//openapi.json"):
        assert (await web.client.get(f"{BASE_PATH}{path}")).status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/settings", 200, {"isEnabled": True}),
        ("GET", "/settings", 418, {}),
        ("GET", "/status/x", 200, {"enabled": True, "apiKey": "no"}),
        ("GET", "/status/x", 404, {"message": "no"}),
    ],
)
def test_an_answer_that_is_not_documented_is_found(method: str, path: str, status: int, body: Any) -> None:
    """The watch that every other REST test relies on can bark."""
    answer = httpx.Response(status, json=body, headers={"x-request-id": "r"})
    with pytest.raises(AssertionError):
        Documented().check(method, path, answer)
