"""What a principal may do. The only corridor between the doors and SIM."""

from sim_mcp.gateway.administration import Administration, SetupReport
from sim_mcp.gateway.allowance import Allowance, Budget, TenantLimits
from sim_mcp.gateway.approvals import Approvals, Review
from sim_mcp.gateway.audit_export import Digest, check_export, exported, public_key
from sim_mcp.gateway.bindings import Bindings
from sim_mcp.gateway.call import Gateway
from sim_mcp.gateway.checkup import Checkup
from sim_mcp.gateway.corridor import Corridor
from sim_mcp.gateway.curation import Curation, Discovery, Validation
from sim_mcp.gateway.follow_up import Follower
from sim_mcp.gateway.keeping import Keeping, Purged
from sim_mcp.gateway.live import Progress, Watch
from sim_mcp.gateway.metrics import Ends, MetricsDesk, TenantMetrics, Timeline
from sim_mcp.gateway.pace import Pace, Usage, UsualDuration
from sim_mcp.gateway.planning import Plan, Planner
from sim_mcp.gateway.remedies import complaint, halves, remedy_for
from sim_mcp.gateway.runs import Runs
from sim_mcp.gateway.setup_desk import IssuedLink, SeenLink, SetupDesk
from sim_mcp.gateway.status import SimHealth, StatusDesk, TenantStatus
from sim_mcp.gateway.task_desk import TaskDesk
from sim_mcp.gateway.tenancy import ProcessKey, Tenancy
from sim_mcp.gateway.tickets import Ticket, Tickets
from sim_mcp.gateway.view import View

__all__ = [
    "Administration", "Allowance", "Approvals", "Bindings", "Budget", "Checkup", "Corridor", "Curation",
    "Digest", "Discovery", "Ends", "Follower", "Gateway", "IssuedLink", "Keeping", "MetricsDesk", "Pace",
    "Plan", "Planner", "ProcessKey", "Progress", "Purged", "Review", "Runs", "SeenLink", "SetupDesk",
    "SetupReport", "SimHealth", "StatusDesk", "TaskDesk", "Tenancy", "TenantLimits", "TenantMetrics",
    "TenantStatus", "Ticket", "Tickets", "Timeline", "Usage", "UsualDuration", "Validation", "View",
    "Watch",
    "check_export", "complaint", "exported", "halves", "public_key", "remedy_for",
]  # fmt: skip
