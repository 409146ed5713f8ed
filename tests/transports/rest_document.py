"""Holds every answer of the REST door against its own OpenAPI document."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import httpx
from openapi_schema_validator import OAS31Validator, oas31_format_checker
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from sim_mcp.transports.openapi import openapi_document
from sim_mcp.transports.rest import ROUTES

HERE = "urn:rest"


class Documented:
    """The document, and what it says of an answer. Reads it when it is asked for first."""

    @cached_property
    def document(self) -> dict[str, Any]:
        """As JSON, the way it is served."""
        return json.loads(json.dumps(openapi_document(ROUTES)))

    def at(self, place: Mapping[str, Any]) -> dict[str, Any]:
        """What `place` is, or points to."""
        found: Any = place
        while "$ref" in found and len(found) == 1:
            parts = found["$ref"].removeprefix("#/").split("/")
            found = self.document
            for part in parts:
                found = found[part]
        return found

    def operation(self, method: str, path: str) -> dict[str, Any] | None:
        """What the document says of a request; `None` for paths and methods that it does not know."""
        bare = path.partition("?")[0]
        for template, methods in self.document["paths"].items():
            if re.fullmatch(re.sub(r"\\\{[^/]*\\\}", "[^/]+", re.escape(template)), bare):
                return methods.get("get" if method == "HEAD" else method.lower())
        return None

    def faults_of(self, value: object, schema: Mapping[str, Any]) -> list[str]:
        """Where `value` breaks `schema`, whose references lead into the document."""
        resource = DRAFT202012.create_resource(self.document)
        registry: Registry[Any] = Registry[Any]().with_resource(HERE, resource)
        validator = OAS31Validator(_absolute(schema), registry=registry, format_checker=oas31_format_checker)
        return [f"{fault.json_path}: {fault.message}" for fault in validator.iter_errors(value)]

    def check(self, method: str, path: str, answer: httpx.Response) -> None:
        """Fail unless the document allows exactly this answer."""
        operation = self.operation(method, path)
        asked = f"{method} {path} -> {answer.status_code}"
        if operation is None:
            if method != "HEAD" and answer.status_code != 204:
                assert self.faults_of(answer.json(), {"$ref": "#/components/schemas/Problem"}) == [], asked
            return
        assert str(answer.status_code) in operation["responses"], f"{asked} is not documented: {answer.text}"
        said = self.at(operation["responses"][str(answer.status_code)])
        for name, place in said.get("headers", {}).items():
            declared = self.at(place)
            assert name in answer.headers or not declared.get("required"), f"{asked}: no {name}"
        if method == "HEAD":
            return
        if "content" not in said:
            assert answer.content == b"", asked
            return
        assert answer.headers["content-type"].partition(";")[0] == "application/json", asked
        schema = said["content"]["application/json"]["schema"]
        assert self.faults_of(answer.json(), schema) == [], f"{asked}: {answer.text}"


def _absolute(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {
            name: HERE + value if name == "$ref" and isinstance(value, str) else _absolute(value)
            for name, value in schema.items()  # pyright: ignore[reportUnknownVariableType]  # JSON
        }
    if isinstance(schema, list):
        return [_absolute(each) for each in schema]  # pyright: ignore[reportUnknownVariableType]  # JSON
    return schema


DOCUMENTED = Documented()
"""One for all tests: it never changes."""
