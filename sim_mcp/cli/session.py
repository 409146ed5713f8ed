"""The frame of every verb: read the settings, set up the log, open the app, run, close."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sim_mcp.cli.exits import Misuse
from sim_mcp.cli.printing import note
from sim_mcp.model.errors import InvalidInput
from sim_mcp.model.principal import Principal, TenantId

if TYPE_CHECKING:
    from sim_mcp.app import App, Needs
    from sim_mcp.config import Settings

T = TypeVar("T")


def run(work: Callable[[], Awaitable[T]], *, for_long: bool = False) -> T:
    """Run `work` to its end: the only way from a verb into async code.

    What runs for long runs on the faster event loop of the extra `speed`, where that is installed.
    """
    from importlib.util import find_spec

    import anyio

    return anyio.run(work, backend_options={"use_uvloop": for_long and find_spec("uvloop") is not None})


def settle_down() -> None:
    """What is loaded by now stays: the garbage collector is to look at it no more.

    A full collection goes through everything and stops the process meanwhile: a tenth of a second for what
    is loaded here, again and again as soon as answers are large.
    """
    import gc

    gc.collect()
    gc.freeze()


async def until_stopped() -> None:
    """Return when the process is told to stop: SIGINT or SIGTERM.

    As a container's first process it would ignore a SIGTERM that it does not ask for. Windows has no
    signals to wait for: there Ctrl-C arrives as `KeyboardInterrupt`.
    """
    import signal
    import sys

    import anyio

    if sys.platform == "win32":
        await anyio.sleep_forever()
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            return


def read_settings(config: Path | None, *, is_server: bool = False) -> Settings:
    """The settings, with the log set up as they say.

    A verb that answers and ends logs warnings only, unless a level was asked for.

    Raises:
        Misuse: a setting is faulty or unknown.
    """
    from sim_mcp.config import load_settings, wants_traces
    from sim_mcp.telemetry import set_up_logs, set_up_traces

    try:
        settings = load_settings(config)
    except InvalidInput as error:
        raise Misuse(
            error.message, remedy="correct the setting; `sim-mcp <verb> --help` lists options"
        ) from error
    is_asked_for = is_server or "log_level" in settings.model_fields_set
    set_up_logs(level=settings.log_level if is_asked_for else "warning", style=settings.log_format)
    if is_server and wants_traces() and not set_up_traces():
        note('OTEL_* names a collector, but spans need an extra: pip install "sim-mcp[otel]"')
    return settings


def with_app(
    work: Callable[[App, Principal], Awaitable[T]],
    *,
    config: Path | None,
    tenant: str | None = None,
    organization: str | None = None,
    needs: Needs | None = None,
) -> T:
    """Run `work` with an open app and the principal who sits at the terminal."""
    from sim_mcp.app import Needs, open_app

    settings = read_settings(config)

    async def opened() -> T:
        async with open_app(settings, needs=needs or Needs(follows_up=False)) as app:
            return await work(app, operator(app, tenant, organization))

    return run(opened)


def operator(app: App, tenant: str | None, organization: str | None) -> Principal:
    """Who the settings say is at the terminal, acting for `tenant` and `organization` when given."""
    own = app.own_principal()
    if tenant is not None and tenant != own.tenant_id:
        own = replace(own, tenant_id=TenantId(tenant), organization_id=None)
    return own if organization is None else replace(own, organization_id=organization)
