"""Opens, wires and closes everything. The doors import from here what they need of the rooms below."""

from sim_mcp.app.opening import looking_sealer, open_app, open_sealer
from sim_mcp.app.rooms import App, Facts, Needs, Seams
from sim_mcp.gateway import (
    Budget,
    Discovery,
    Ends,
    IssuedLink,
    Plan,
    Progress,
    Review,
    SeenLink,
    SetupReport,
    SimHealth,
    TenantMetrics,
    TenantStatus,
    Ticket,
    Tickets,
    Timeline,
    Usage,
    UsualDuration,
    Validation,
    View,
    Watch,
)
from sim_mcp.store import ExecutionFilter, JobPage, Page, Sender
from sim_mcp.triggers import Accepted, Preview, Reason, ScheduleView, sign

__all__ = [
    "Accepted", "App", "Budget", "Discovery", "Ends", "ExecutionFilter", "Facts", "IssuedLink", "JobPage",
    "Needs", "Page", "Plan", "Preview", "Progress", "Reason", "Review", "ScheduleView", "Seams", "SeenLink",
    "Sender", "SetupReport", "SimHealth", "TenantMetrics", "TenantStatus", "Ticket", "Tickets", "Timeline",
    "Usage", "UsualDuration", "Validation", "View", "Watch", "looking_sealer", "open_app", "open_sealer",
    "sign",
]  # fmt: skip
