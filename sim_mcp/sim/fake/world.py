"""Everything a sandbox remembers: its customers, their workflows, and the ledger."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sim_mcp.sim.fake.behaviours import Occasion, planned
from sim_mcp.sim.fake.inputs import resolved, unwrapped
from sim_mcp.sim.fake.runs import Ledger, Mode, Run
from sim_mcp.sim.fake.timing import FakeTime
from sim_mcp.sim.fake.workflows import Account, FakeWorkflow, InputField


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One deployment of a workflow."""

    number: int
    created_at: datetime
    inputs: tuple[InputField, ...]


@dataclass(slots=True, kw_only=True)
class Entry:
    """One workflow of the world, with its draft and its deployments."""

    workflow: FakeWorkflow
    account: str
    workspace_id: str
    draft: tuple[InputField, ...]
    created_at: datetime
    updated_at: datetime
    versions: list[Version]
    is_deployed: bool

    @property
    def active(self) -> Version | None:
        """The deployment that runs, if any."""
        return self.versions[-1] if self.is_deployed and self.versions else None

    @property
    def needs_redeployment(self) -> bool:
        """Whether the draft has moved on from what runs."""
        return self.active is not None and self.active.inputs != self.draft


class World:
    """The state behind the endpoints. Knows no HTTP."""

    def __init__(
        self,
        *,
        time: FakeTime,
        ids: Callable[[], str],
        cancel_works: bool,
        time_limit_s: float | None,
        brief_s: float,
        strands_pauses: bool,
    ) -> None:
        self.time = time
        self.ids = ids
        self.cancel_works = cancel_works
        self.time_limit_s = time_limit_s
        self.brief_s = brief_s
        self.strands_pauses = strands_pauses
        self.ledger = Ledger()
        self._accounts: dict[str, Account] = {}
        self._entries: dict[str, Entry] = {}

    def add_account(self, account: Account) -> None:
        """Let a customer in, with all its workflows."""
        self._accounts[account.name] = account
        now = self.time.now()
        for each in account.workflows:
            version = Version(number=1, created_at=now, inputs=each.inputs)
            self._entries[each.id] = Entry(
                workflow=each,
                account=account.name,
                workspace_id=account.workspace_id,
                draft=each.inputs,
                created_at=now,
                updated_at=now,
                versions=[version] if each.deployed else [],
                is_deployed=each.deployed,
            )

    def rotate_key(self, account: str, new_key: str) -> None:
        """Exchange the key of `account`.

        Raises:
            KeyError: No such account.
        """
        self._accounts[account] = replace(self._accounts[account], api_key=new_key)

    def set_deployed(self, workflow_id: str, *, deployed: bool) -> None:
        """Deploy the draft as a new version, or take the workflow out of service.

        Raises:
            KeyError: No such workflow.
        """
        entry = self._entries[workflow_id]
        entry.is_deployed = deployed
        if deployed:
            number = len(entry.versions) + 1
            entry.versions.append(Version(number=number, created_at=self.time.now(), inputs=entry.draft))

    def set_inputs(self, workflow_id: str, fields: Sequence[InputField], *, deployed: bool) -> None:
        """Change the draft, and with `deployed` deploy it too.

        Raises:
            KeyError: No such workflow.
        """
        entry = self._entries[workflow_id]
        entry.draft = tuple(fields)
        entry.updated_at = self.time.now()
        if deployed:
            self.set_deployed(workflow_id, deployed=True)

    def account_of_key(self, key: str) -> Account | None:
        """Who a key belongs to."""
        return next((each for each in self._accounts.values() if each.api_key == key), None)

    def entry(self, workflow_id: str) -> Entry | None:
        """A workflow by its id, whoever owns it."""
        return self._entries.get(workflow_id)

    def entries_of(self, account: str) -> list[Entry]:
        """The workflows of one account, in their order."""
        return [each for each in self._entries.values() if each.account == account]

    def start(
        self,
        entry: Entry,
        raw: dict[str, Any],
        *,
        run_id: str,
        key: str,
        mode: Mode,
        time_limit_s: float | None = None,
    ) -> Run:
        """Really begin a run of the deployed version of `entry` with the input `raw`."""
        fields = entry.active.inputs if entry.active else ()
        occasion = Occasion(
            arguments=resolved(raw, fields),
            submitted=unwrapped(raw),
            workflow_id=entry.workflow.id,
            run_id=run_id,
            now=self.time.now(),
            brief_s=self.brief_s,
            strands_pauses=self.strands_pauses,
            form=entry.workflow.form,
        )
        limits = [each for each in (time_limit_s, self.time_limit_s) if each is not None]
        return self.ledger.start(
            planned(entry.workflow.behaviour, occasion),
            occasion,
            account=entry.account,
            key=key,
            mode=mode,
            time_limit_s=min(limits, default=None),
        )
