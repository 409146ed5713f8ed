"""`sim-mcp tools import`: spec files from the workflows of a SIM account."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sim_mcp.cli.exits import Misuse
from sim_mcp.model.json import Json
from sim_mcp.model.principal import Principal
from sim_mcp.model.tool import WorkflowId

if TYPE_CHECKING:
    from sim_mcp.app import App
    from sim_mcp.catalog import ToolSpec

_PAGE = 100
_LONGEST_NAME = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What came of one workflow: the file that was written, or why none was."""

    workflow_id: str
    name: str | None = None
    file: str | None = None
    skipped: str | None = None

    def to_json(self) -> dict[str, Json]:
        """The same as data."""
        return {
            "workflow_id": self.workflow_id,
            "name": self.name,
            "file": self.file,
            "skipped": self.skipped,
        }


async def import_specs(
    app: App, principal: Principal, workflow_ids: Sequence[str], *, takes_all: bool, directory: Path
) -> tuple[Imported, ...]:
    """Write one file per workflow into `directory`; a workflow that it knows already is left alone.

    No file is ever overwritten: people edit them.

    Raises:
        NotFound: SIM does not know one of the workflows.
        Misuse: the directory cannot be written.
    """
    from sim_mcp.catalog import read_specs

    known = read_specs(directory).of(principal.tenant_id)
    workflows = {spec.workflow_id: spec.name for spec in known}
    names = set(workflows.values())
    done: list[Imported] = []
    wanted = [each async for each in _deployed(app, principal, done)] if takes_all else workflow_ids
    for workflow_id in dict.fromkeys(wanted):
        if workflow_id in workflows:
            name = workflows[workflow_id]
            done.append(Imported(workflow_id=workflow_id, name=name, skipped="has a spec there already"))
            continue
        spec = await app.workflows.imported(principal, WorkflowId(workflow_id))
        spec = spec.model_copy(update={"name": _free_name(spec.name, names)})
        names.add(spec.name)
        file = _write(directory, principal.tenant_id, spec)
        done.append(Imported(workflow_id=workflow_id, name=spec.name, file=str(file)))
    return tuple(done)


async def _deployed(app: App, principal: Principal, done: list[Imported]) -> AsyncIterator[str]:
    """The deployed workflows of the account; the others are noted in `done`."""
    cursor: str | None = None
    while True:
        page = await app.workflows.discover(principal, limit=_PAGE, cursor=cursor)
        for found in page.workflows:
            workflow_id = found.summary.workflow_id
            if found.summary.is_deployed:
                yield workflow_id
            else:
                done.append(Imported(workflow_id=workflow_id, skipped="is not deployed"))
        cursor = page.next_cursor
        if cursor is None:
            return


def _free_name(name: str, taken: set[str]) -> str:
    """`name`, or with the lowest number behind it that makes it unique."""
    candidate, number = name, 1
    while candidate in taken:
        number += 1
        ending = f"_{number}"
        candidate = name[: _LONGEST_NAME - len(ending)] + ending
    return candidate


def _write(directory: Path, tenant_id: str, spec: ToolSpec) -> Path:
    from sim_mcp.catalog import write_specs

    # A tenant's name may hold dots and colons, which are not for file names.
    path = directory / f"{re.sub(r'[^A-Za-z0-9_-]', '_', tenant_id)}.{spec.name}.yaml"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(write_specs(tenant_id, [spec]))
    except FileExistsError as error:
        raise Misuse(
            f"The file {str(path)!r} exists already.", remedy="move it away, or use --dir"
        ) from error
    except OSError as error:
        raise Misuse(
            f"The file {str(path)!r} cannot be written ({error.strerror}).", remedy="choose another --dir"
        ) from error
    return path
