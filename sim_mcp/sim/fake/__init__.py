"""A sandbox SIM: one ASGI app that behaves, and misbehaves, like the real server."""

from sim_mcp.sim.fake import faults
from sim_mcp.sim.fake.app import FakeSim
from sim_mcp.sim.fake.faults import ConnectionDropped
from sim_mcp.sim.fake.runs import Run
from sim_mcp.sim.fake.serve import serve_fake
from sim_mcp.sim.fake.timing import FakeTime
from sim_mcp.sim.fake.workflows import (
    DEMO_ACCOUNTS,
    Account,
    FakeWorkflow,
    FormField,
    InputField,
    demo_account,
    workflow_id,
)

__all__ = [
    "DEMO_ACCOUNTS",
    "Account",
    "ConnectionDropped",
    "FakeSim",
    "FakeTime",
    "FakeWorkflow",
    "FormField",
    "InputField",
    "Run",
    "demo_account",
    "faults",
    "serve_fake",
    "workflow_id",
]
