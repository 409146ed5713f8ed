"""What a request is about, told from its method and path alone: what scripts are matched against."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sim_mcp.sim.fake.exchange import Dialect
from sim_mcp.sim.fake.faults import Verb

_PATTERNS: tuple[tuple[str, str, Dialect, Verb], ...] = (
    ("POST", r"/api/workflows/(?P<workflow>[^/]+)/execute", "legacy", "execute"),
    ("GET", r"/api/workflows/(?P<workflow>[^/]+)/executions/(?P<run>[^/]+)", "legacy", "status"),
    ("GET", r"/api/jobs/(?:workflow-execution:)?(?P<run>[^/]+)", "legacy", "status"),
    ("POST", r"/api/workflows/(?P<workflow>[^/]+)/executions/(?P<run>[^/]+)/cancel", "legacy", "cancel"),
    ("POST", r"/api/resume/(?P<workflow>[^/]+)/(?P<run>[^/]+)/[^/]+", "legacy", "resume"),
    ("POST", r"/api/v2/workflows/(?P<workflow>[^/]+)/execute", "v2", "execute"),
    ("GET", r"/api/v2/workflows/(?P<workflow>[^/]+)/runs/(?P<run>[^/]+)", "v2", "status"),
    ("POST", r"/api/v2/workflows/(?P<workflow>[^/]+)/runs/(?P<run>[^/]+)/cancel", "v2", "cancel"),
    ("POST", r"/api/v2/workflows/(?P<workflow>[^/]+)/runs/(?P<run>[^/]+)/resume", "v2", "resume"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A request's dialect and verb, and whom it concerns. `verb` is `any` when it is none of the four."""

    dialect: Dialect
    verb: Verb = "any"
    workflow_id: str | None = None
    run_id: str | None = None


def target_of(method: str, path: str) -> Target:
    """Read `path` (without the sandbox's prefix)."""
    for wanted, pattern, dialect, verb in _PATTERNS:
        match = re.fullmatch(pattern, path) if method == wanted else None
        if match is not None:
            found = match.groupdict()
            return Target(
                dialect=dialect, verb=verb, workflow_id=found.get("workflow"), run_id=found.get("run")
            )
    return Target(dialect=_dialect(path))


def _dialect(path: str) -> Dialect:
    if path.startswith("/api/v1/"):
        return "v1"
    if path.startswith("/api/v2/"):
        return "v2"
    return "legacy" if path.startswith("/api/") else "none"
