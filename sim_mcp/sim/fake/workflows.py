"""The workflows and accounts that a sandbox offers, and what their start blocks declare."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, Literal

FieldType = Literal["string", "number", "boolean", "object", "array", "file[]"]
"""The types that a start block's input field may have (sim-api 1.5)."""

Behaviour = Literal[
    "quick",
    "echo",
    "slow",
    "streaming",
    "failing",
    "asking",
    "large",
    "respond",
    "files",
    "chart",
    "archive",
]
"""What a workflow does when it runs; see `behaviours.py`."""

_NAMESPACE = uuid.UUID("5a6d5a6d-0000-4000-8000-000000000000")


@dataclass(frozen=True, slots=True, kw_only=True)
class InputField:
    """One declared input. SIM knows no *required*; `default` replaces a missing value."""

    name: str
    type: FieldType
    description: str = ""
    default: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FormField:
    """One field of the form by which a workflow asks a human. `value` is what stands in it at first."""

    name: str
    type: FieldType
    description: str = ""
    required: bool = False
    value: Any = ""
    options: tuple[Any, ...] = ()


APPROVAL = (
    FormField(name="approved", type="boolean", description="Approve the refund?", required=True),
    FormField(name="note", type="string", description="Reason"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeWorkflow:
    """A workflow as its author left it: an id, a behaviour, declared inputs, and the form if it asks."""

    id: str
    name: str
    behaviour: Behaviour
    description: str = ""
    inputs: tuple[InputField, ...] = ()
    form: tuple[FormField, ...] = APPROVAL
    deployed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One customer of this SIM: a key, a workspace, and the workflows in it.

    `is_personal_key` decides who the caller is: a person (v1 and v2 name its user) or the workspace itself.
    """

    name: str
    api_key: str
    workspace_id: str
    workflows: tuple[FakeWorkflow, ...] = ()
    is_personal_key: bool = False

    def __repr__(self) -> str:
        return f"Account(name={self.name!r}, workspace_id={self.workspace_id!r})"


_TIMESHEET = (
    InputField(name="employee", type="string", description="Employee name"),
    InputField(name="hours", type="number", description="Hours worked"),
    InputField(name="billable", type="boolean", description="Billable?"),
    InputField(name="tags", type="array", description="Labels"),
    InputField(name="meta", type="object", description="Extra data"),
)
_ASKING = (
    InputField(name="amount", type="number", description="How much", default="120"),
    InputField(
        name="variant",
        type="string",
        description="human, api, api_scalar, parallel, time or twice",
        default="human",
    ),
)
_LARGE = (
    InputField(name="rows", type="number", description="How many rows", default="1000"),
    InputField(name="row_bytes", type="number", description="Size of one row", default="40"),
)
_RESPOND = (
    InputField(name="status", type="number", description="The author's status", default="418"),
    InputField(name="body", type="object", description="The author's body"),
)
_SLOW = InputField(name="seconds", type="number", description="How long", default="2")
_STREAMING = InputField(name="topic", type="string", description="About what")
_FAILING = InputField(name="status", type="number", description="Borrowed status")
_FILES = InputField(name="receipts", type="file[]", description="Receipts")
_CHART = (
    InputField(name="format", type="string", description="png, wav, csv or pdf", default="png"),
    InputField(name="bytes", type="number", description="How large the file is", default="0"),
)
_ARCHIVE = InputField(
    name="shape", type="string", description="array, string, object or manifest", default="array"
)

_COLLECTION: tuple[tuple[str, str, Behaviour, str, tuple[InputField, ...]], ...] = (
    ("quick", "Summarize Timesheets", "quick", "Summarises hours per project.", _TIMESHEET),
    ("echo", "Echo", "echo", "Returns its input untouched.", (InputField(name="text", type="string"),)),
    ("slow", "Slow Report", "slow", "Takes its time.", (_SLOW,)),
    ("streaming", "Streaming Answer", "streaming", "Answers word by word.", (_STREAMING,)),
    ("failing", "Failing Import", "failing", "A block of it fails.", (_FAILING,)),
    ("asking", "Refund Approval", "asking", "Stops and asks a human.", _ASKING),
    ("large", "Big Output", "large", "Returns many rows.", _LARGE),
    ("respond", "Custom Response", "respond", "Ends in a Response block.", _RESPOND),
    ("undeployed", "Undeployed Draft", "quick", "Not deployed.", _TIMESHEET),
    ("files", "Receipt Upload", "files", "Takes files.", (_FILES,)),
    ("chart", "Sales Chart", "chart", "Returns a file.", _CHART),
    ("archive", "Yearly Archive", "archive", "Returns a value that SIM keeps to itself.", (_ARCHIVE,)),
)
"""What every demo account gets: short name, name, behaviour, description, inputs."""


def workflow_id(account: str, short_name: str) -> str:
    """The stable id of a demo workflow: `workflow_id("acme", "quick")`.

    Args:
        account: The account's name.
        short_name: `quick`, `echo`, `slow`, `streaming`, `failing`, `asking`, `large`, `respond`,
            `undeployed`, `files`, `chart`, or `archive`.

    Raises:
        KeyError: No demo workflow is called so.
    """
    if short_name not in {each[0] for each in _COLLECTION}:
        raise KeyError(short_name)
    return str(uuid.uuid5(_NAMESPACE, f"{account}/{short_name}"))


def workspace_id(account: str) -> str:
    """The stable workspace id of a demo account."""
    return str(uuid.uuid5(_NAMESPACE, account))


def demo_account(name: str, *, is_personal_key: bool = False) -> Account:
    """An account with the whole collection; its key is `sk-sim-sandbox-<name>`."""
    return Account(
        name=name,
        api_key=f"sk-sim-sandbox-{name}",
        workspace_id=workspace_id(name),
        workflows=tuple(
            FakeWorkflow(
                id=workflow_id(name, short),
                name=title,
                behaviour=behaviour,
                description=description,
                inputs=inputs,
                deployed=short != "undeployed",
            )
            for short, title, behaviour, description, inputs in _COLLECTION
        ),
        is_personal_key=is_personal_key,
    )


DEMO_ACCOUNTS: tuple[Account, ...] = (demo_account("acme"), demo_account("globex"))
"""Two customers that must never see each other."""
