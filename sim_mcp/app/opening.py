"""Opening everything for a process, and closing it in reverse."""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

import anyio
from anyio.abc import TaskGroup

from sim_mcp.app.rooms import App, Facts, Needs, Seams
from sim_mcp.app.wiring import Wiring
from sim_mcp.config import Settings
from sim_mcp.gateway import ProcessKey, Tenancy
from sim_mcp.model.errors import InvalidInput
from sim_mcp.model.principal import TenantId
from sim_mcp.sim import SimClients
from sim_mcp.store import Sealer, is_postgres, load_or_create_key_file, open_store, parse_keys
from sim_mcp.telemetry import log_fact

log = logging.getLogger(__name__)


@asynccontextmanager
async def open_app(
    settings: Settings, *, needs: Needs | None = None, seams: Seams | None = None
) -> AsyncGenerator[App]:
    """Open everything for `settings`, and close it in reverse order.

    Closing waits up to `needs.drain_s` for calls under way, then lets go of them: their rows are
    settled by their run ids at the next start.

    Raises:
        InvalidInput: a setting that cannot work; names it and the remedy.
        StoreUnavailable: the database cannot be opened.
    """
    wants, outside = needs or Needs(), seams or Seams()
    facts = Facts([log_fact, *outside.observers])
    async with AsyncExitStack() as stack:
        sealer = looking_sealer(settings) if wants.only_looks else open_sealer(settings)
        store = await stack.enter_async_context(
            open_store(
                settings.store_url,
                sealer=sealer,
                clock=outside.clock,
                new_id=outside.new_id,
                only_look=wants.only_looks,
                survives_power_loss=settings.audit_durability == "power",
            )
        )
        tenancy = Tenancy(
            store=store,
            clock=outside.clock,
            process_key=_process_key(settings) if wants.uses_process_key else None,
        )
        clients = SimClients(
            clock=outside.clock,
            key_of=tenancy.key_of,
            allowed_hosts=settings.sim_allowed_hosts,
            transport_of=outside.transport_of,
        )
        stack.push_async_callback(clients.aclose)
        background = await stack.enter_async_context(_background())
        parts = Wiring(settings, outside, wants, store, sealer, tenancy, clients, facts, background)
        stack.push_async_callback(parts.drain)
        app = parts.app()
        await parts.start_background()
        if wants.runs_jobs:
            await stack.enter_async_context(app.working())
        log.info("ready: default SIM is %s", settings.sim_base_url)
        yield app


def open_sealer(settings: Settings) -> Sealer:
    """The sealer for stored SIM keys, from the settings or the key file of the embedded mode.

    Raises:
        InvalidInput: the keys or the key file are not usable.
    """
    if settings.encryption_keys is not None:
        return Sealer(parse_keys(settings.encryption_keys.get_secret_value()))
    if is_postgres(settings.store_url):
        raise InvalidInput(
            "SIM_MCP_ENCRYPTION_KEYS is required with PostgreSQL: replicas share the database and must share "
            "the keys. Make one with `python -c "
            '"import base64, os; print(base64.urlsafe_b64encode(os.urandom(32)).decode())"`.'
        )
    return Sealer([load_or_create_key_file(settings.key_file)])


def looking_sealer(settings: Settings) -> Sealer:
    """The sealer of `open_sealer`, but without making a key file: then it opens nothing.

    Raises:
        InvalidInput: the keys or the key file are not usable.
    """
    if settings.encryption_keys is None and not settings.key_file.exists():
        return Sealer([secrets.token_bytes(32)])
    return open_sealer(settings)


def _process_key(settings: Settings) -> ProcessKey | None:
    if settings.sim_api_key is None:
        return None
    return ProcessKey(
        tenant_id=TenantId(settings.tenant_id),
        api_key=settings.sim_api_key.get_secret_value(),
        base_url=settings.sim_base_url,
        revision=secrets.randbelow(2**31 - 1) + 1,
    )


@asynccontextmanager
async def _background() -> AsyncGenerator[TaskGroup]:
    """A task group for work that outlives its callers; cancelled when the app closes."""
    async with anyio.create_task_group() as group:
        try:
            yield group
        finally:
            group.cancel_scope.cancel()
