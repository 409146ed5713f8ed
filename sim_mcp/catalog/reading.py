"""Reads and writes spec files. One broken file or tool never hides the others."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from sim_mcp.catalog.admission import flaws_in
from sim_mcp.catalog.drift import digest_of_text
from sim_mcp.catalog.lock_file import LOCK_FILE, Locks, read_lock
from sim_mcp.catalog.problem import SpecProblem
from sim_mcp.catalog.spec import TENANT_PATTERN, ToolSpec
from sim_mcp.catalog.text import listed, shortened
from sim_mcp.catalog.yaml_text import TextFault, dump_yaml, load_json, load_yaml
from sim_mcp.model.errors import InvalidInput
from sim_mcp.model.json import Json, JsonObject, is_array, is_object
from sim_mcp.model.principal import TenantId

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_FILE_BYTES = 1024 * 1024
_SUFFIXES = (".yaml", ".yml", ".json")
_NOT_SPECS = (".schema.json", ".lock.json", ".lock.yaml", "admin-tools.json")
_EDITOR_LINE = "# yaml-language-server: $schema=./tool-spec.schema.json\n"

Found: TypeAlias = tuple[TenantId, str, ToolSpec]
"""A tool's tenant, the file that it stands in, and its spec."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecSet:
    """What a directory of specs says: the sound tools of each tenant, sorted by name, and the problems.

    Disabled tools are among `tools`: they are specs, and hidden only when a catalog is built.
    """

    tools: Mapping[TenantId, tuple[ToolSpec, ...]] = field(default_factory=lambda: MappingProxyType({}))
    problems: tuple[SpecProblem, ...] = ()
    locks: Locks = field(default_factory=lambda: MappingProxyType({}))
    """What the lock file says was approved."""

    def of(self, tenant_id: TenantId) -> tuple[ToolSpec, ...]:
        """The tools of one tenant."""
        return self.tools.get(tenant_id, ())

    def problems_of(self, tenant_id: TenantId) -> tuple[SpecProblem, ...]:
        """The problems of one tenant's tools; not those of files that name no tenant."""
        return tuple(problem for problem in self.problems if problem.tenant_id == tenant_id)


def read_specs(directory: Path, *, obeys_lock: bool = True) -> SpecSet:
    """Read every spec file in `directory` and its sub-folders.

    YAML (several documents each) and JSON, UTF-8, at most 1 MiB. Left out are hidden files and
    folders, folders called `examples`, `*.schema.json`, `*.lock.*` and `admin-tools.json`. What
    cannot be read or listed is a problem, not an exception; a directory that is not there is empty.
    With `obeys_lock`, what the lock file does not approve is a problem too. Blocks on the disk: call it in a
    thread from async code.
    """
    found: list[Found] = []
    problems: list[SpecProblem] = []
    for path in _spec_files(directory):
        source = path.relative_to(directory).as_posix()
        try:
            for document in _documents(path):
                _read_document(document, source, found, problems)
        except TextFault as fault:
            problems.append(SpecProblem(source=source, message=f"{fault}. Its remaining tools are left out."))
        except OSError as error:
            reason = error.strerror or type(error).__name__
            problems.append(SpecProblem(source=source, message=f"cannot be read ({reason}); check the file."))
    unique = _without_duplicates(found, problems)
    locks = _locks(directory, problems) if obeys_lock else None
    if locks is not None:
        unique = _approved(unique, locks, problems)
    tools: defaultdict[TenantId, list[ToolSpec]] = defaultdict(list)
    for tenant_id, _, spec in sorted(unique, key=lambda each: (each[0], each[2].name)):
        tools[tenant_id].append(spec)
    sealed = MappingProxyType({tenant_id: tuple(specs) for tenant_id, specs in tools.items()})
    return SpecSet(tools=sealed, problems=tuple(problems), locks=locks or {})


def _locks(directory: Path, problems: list[SpecProblem]) -> Locks | None:
    """What the lock file approves; `None` without one. A broken one approves nothing."""
    try:
        return read_lock(directory)
    except InvalidInput as error:
        problems.append(
            SpecProblem(source=LOCK_FILE, message=f"{error.message} No tool of a file is listed.")
        )
        return {}


def _approved(found: list[Found], locks: Locks, problems: list[SpecProblem]) -> list[Found]:
    """Those whose words are the approved ones."""
    kept: list[Found] = []
    for tenant_id, source, spec in found:
        lock = locks.get((tenant_id, spec.name))
        if lock is not None and lock.pinned == digest_of_text(spec.to_tool(tenant_id)):
            kept.append((tenant_id, source, spec))
            continue
        why = "is not approved yet" if lock is None else "differs from what was approved"
        problems.append(
            SpecProblem(
                source=source,
                tenant_id=tenant_id,
                tool_name=spec.name,
                message=f"{why} ({LOCK_FILE}); review it, then `sim-mcp tools approve {spec.name}`.",
            )
        )
    return kept


def write_specs(tenant_id: str, specs: Sequence[ToolSpec]) -> str:
    """One YAML document with `specs`, sorted by name; defaults are left out. `read_specs` reads it back."""
    tools = [
        spec.model_dump(mode="json", exclude_none=True, exclude_defaults=True, by_alias=True)
        for spec in sorted(specs, key=lambda spec: spec.name)
    ]
    return _EDITOR_LINE + dump_yaml({"tenant": tenant_id, "tools": tools})


def _spec_files(directory: Path) -> Iterator[Path]:
    if not directory.is_dir():
        return
    for path in sorted(directory.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir() and not path.is_symlink() and path.name != "examples":
            yield from _spec_files(path)
        elif path.suffix in _SUFFIXES and not path.name.endswith(_NOT_SPECS) and path.is_file():
            yield path


def _documents(path: Path) -> Iterator[Json]:
    with path.open("rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise TextFault(f"is larger than {MAX_FILE_BYTES} bytes; split it")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TextFault("is not UTF-8; save it as UTF-8") from error
    if path.suffix == ".json":
        yield load_json(text)
    else:
        yield from load_yaml(text)


def _read_document(document: Json, source: str, found: list[Found], problems: list[SpecProblem]) -> None:
    if not is_object(document):
        problems.append(SpecProblem(source=source, message="must be a mapping with `tenant` and `tools`."))
        return
    rest = {key: value for key, value in document.items() if key not in {"tenant", "$schema"}}
    tenant_id = _tenant_of(document)
    if tenant_id is None:
        message = "must name a tenant, as in `tenant: acme` (1 to 128 of letters, digits and _ . : @ -)."
        problems.append(SpecProblem(source=source, field="tenant", message=message))
        return
    if "tools" not in rest:
        _read_tool(rest, source, tenant_id, found, problems)
        return
    tools = rest.pop("tools")
    if rest:
        message = (
            f"has keys beside `tenant` and `tools`: {listed([*rest])}. Move them into a tool, or remove them."
        )
        problems.append(SpecProblem(source=source, tenant_id=tenant_id, message=message))
    if not is_array(tools):
        message = "must be a list, each entry beginning with `- name:`."
        problems.append(SpecProblem(source=source, tenant_id=tenant_id, field="tools", message=message))
        return
    for tool in tools:
        _read_tool(tool, source, tenant_id, found, problems)


def _read_tool(
    entry: Json, source: str, tenant_id: TenantId, found: list[Found], problems: list[SpecProblem]
) -> None:
    spec, flaws = judge(entry, source=source, tenant_id=tenant_id)
    problems.extend(flaws)
    if spec is not None:
        found.append((tenant_id, source, spec))


def judge(
    entry: object, *, source: str, tenant_id: TenantId
) -> tuple[ToolSpec | None, tuple[SpecProblem, ...]]:
    """The spec that `entry` describes, if it may be listed; and everything wrong with it."""
    if not is_object(entry):
        problem = SpecProblem(source=source, tenant_id=tenant_id, message="A tool must be a mapping of keys.")
        return None, (problem,)
    name = entry.get("name")
    tool_name = shortened(name) if isinstance(name, str) else None
    try:
        spec = ToolSpec.from_json(entry)
    except InvalidInput as error:
        return None, tuple(
            SpecProblem(
                source=source,
                tenant_id=tenant_id,
                tool_name=tool_name,
                field=fault.path.removeprefix("$").removeprefix(".") or None,
                message=f"{fault.message}.",
            )
            for fault in error.faults
        )
    flaws = flaws_in(spec)
    problems = tuple(
        SpecProblem.of(flaw, source=source, tenant_id=tenant_id, tool_name=tool_name) for flaw in flaws
    )
    return (spec if all(flaw.is_warning for flaw in flaws) else None), problems


def _tenant_of(document: JsonObject) -> TenantId | None:
    tenant = document.get("tenant")
    return TenantId(tenant) if isinstance(tenant, str) and re.fullmatch(TENANT_PATTERN, tenant) else None


def _without_duplicates(found: list[Found], problems: list[SpecProblem]) -> list[Found]:
    """The first of each name, by file and place in it; those that repeat a name are held back."""
    sources: defaultdict[tuple[TenantId, str], list[str]] = defaultdict(list)
    kept: list[Found] = []
    for each in found:
        tenant_id, source, spec = each
        places = sources[tenant_id, spec.name]
        if not places:
            kept.append(each)
        places.append(source)
    for (tenant_id, name), places in sources.items():
        if len(places) > 1:
            message = (
                f"is defined {len(places)} times ({listed(places)}): the first counts; rename the others."
            )
            problems.append(
                SpecProblem(
                    source=places[-1], tenant_id=tenant_id, tool_name=name, field="name", message=message
                )
            )
    return kept
