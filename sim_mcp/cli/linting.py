"""`sim-mcp tools lint`: what is wrong with spec files, and what their tools cost a model's context."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sim_mcp.cli.exits import FAILED, Misuse
from sim_mcp.cli.options import AsJson, Config
from sim_mcp.cli.printing import note, print_json, print_table, safe, say
from sim_mcp.model.json import Json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sim_mcp.app import App, Review
    from sim_mcp.catalog import SpecProblem, SpecSet
    from sim_mcp.model.principal import Principal

CHARACTERS_PER_TOKEN = 3.5
"""Of JSON with English words, about, whatever the tokenizer: an estimate, and told as one."""
USUAL_BUDGET = 20_000
"""A tenth of a context of 200,000: beyond it, clients begin to hide tools from their models."""


def lint(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The directory of spec files.")],
    *,
    budget: Annotated[
        int,
        typer.Option("--budget", min=1, metavar="TOKENS", help="Most that a tenant's tool list may cost."),
    ] = USUAL_BUDGET,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail, too.")] = False,
    online: Annotated[
        bool, typer.Option("--online", help="Also compare with SIM, for the tenant of the settings.")
    ] = False,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Check spec files: rules, words, and the tokens that their tools cost a model.

    Offline: no settings, no database, no SIM, unless --online is given.
    """
    from sim_mcp.catalog import read_specs

    if not directory.is_dir():
        raise Misuse(f"There is no directory {str(directory)!r}.", remedy="give one with spec files")
    specs = read_specs(directory)
    problems = [*specs.problems, *_warnings(specs), *(_drift(config) if online else ())]
    tokens = _tokens(specs)
    over = {tenant: sum(each.values()) for tenant, each in tokens.items() if sum(each.values()) > budget}
    if as_json:
        print_json(_as_json(specs, problems, tokens, budget))
    else:
        _print(specs, problems, tokens, over, budget)
    errors = [problem for problem in problems if strict or not problem.is_warning]
    if errors or over:
        raise typer.Exit(FAILED)


def estimated_tokens(text: str) -> int:
    """About how many tokens `text` is to a model."""
    return math.ceil(len(text) / CHARACTERS_PER_TOKEN)


def _tokens(specs: SpecSet) -> Mapping[str, Mapping[str, int]]:
    """What each listed tool costs, by tenant and name: its whole entry in `tools/list`."""
    from sim_mcp.transports.tool_list import listed

    return {
        str(tenant_id): {
            spec.name: estimated_tokens(
                listed(spec.to_tool(tenant_id)).model_dump_json(by_alias=True, exclude_none=True)
            )
            for spec in tools
            if spec.enabled
        }
        for tenant_id, tools in specs.tools.items()
    }


def _warnings(specs: SpecSet) -> list[SpecProblem]:
    from sim_mcp.catalog import SpecProblem
    from sim_mcp.catalog.lint import lint as lint_spec

    return [
        SpecProblem.of(flaw, source="lint", tenant_id=tenant_id, tool_name=spec.name)
        for tenant_id, tools in specs.tools.items()
        for spec in tools
        for flaw in lint_spec(spec)
    ]


def _drift(config: Path | None) -> list[SpecProblem]:
    """What changed at SIM under the tools of the tenant at this terminal."""
    from sim_mcp.app import Needs
    from sim_mcp.catalog import SpecProblem
    from sim_mcp.cli.session import with_app
    from sim_mcp.model.lock import ChangeClass

    async def ask(app: App, principal: Principal) -> tuple[Review, ...]:
        return await app.approvals.review(principal)

    reviews = with_app(ask, config=config, needs=Needs(follows_up=False, uses_process_key=True))
    found = [
        SpecProblem(
            source="SIM",
            tenant_id=each.tool.tenant_id,
            tool_name=each.tool.name,
            message=change.sentence,
            is_warning=change.kind is not ChangeClass.BREAKING,
        )
        for each in reviews
        for change in each.changes
    ]
    lost = [
        SpecProblem(
            source="SIM", tenant_id=each.tool.tenant_id, tool_name=each.tool.name, message=each.problem
        )
        for each in reviews
        if each.problem is not None
    ]
    return [*found, *lost]


def _as_json(
    specs: SpecSet,
    problems: Sequence[SpecProblem],
    tokens: Mapping[str, Mapping[str, int]],
    budget: int,
) -> Json:
    return {
        "tools": {str(tenant_id): len(tools) for tenant_id, tools in specs.tools.items()},
        "tokens": {
            tenant: {"total": sum(each.values()), "budget": budget, "tools": dict(each)}
            for tenant, each in tokens.items()
        },
        "problems": [
            {
                "source": each.source,
                "tenant": each.tenant_id,
                "tool": each.tool_name,
                "field": each.field,
                "message": each.message,
                "is_warning": each.is_warning,
            }
            for each in problems
        ],
    }


def _print(
    specs: SpecSet,
    problems: Sequence[SpecProblem],
    tokens: Mapping[str, Mapping[str, int]],
    over: Mapping[str, int],
    budget: int,
) -> None:
    for problem in problems:
        say(safe(str(problem)))
    rows = [
        (tenant, name, str(count))
        for tenant, each in tokens.items()
        for name, count in sorted(each.items(), key=lambda item: -item[1])
    ]
    if rows:
        print_table(("TENANT", "TOOL", "TOKENS"), rows)
    for tenant, each in tokens.items():
        note(f"The tools of {safe(tenant)} cost about {sum(each.values())} tokens of {budget} (estimated).")
    for tenant in over:
        note(f"That of {safe(tenant)} is over the budget: shorten texts and schemas, or list fewer tools.")
    counts = ", ".join(f"{len(tools)} of {name}" for name, tools in specs.tools.items()) or "none"
    errors = sum(not problem.is_warning for problem in problems)
    note(f"Sound tools: {counts}. Errors: {errors}. Warnings: {len(problems) - errors}.")
