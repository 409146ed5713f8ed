"""What a principal may do. The only corridor between the doors and SIM."""

from sim_mcp.gateway.administration import Administration, SetupReport
from sim_mcp.gateway.allowance import Allowance, TenantLimits
from sim_mcp.gateway.answers import Answers
from sim_mcp.gateway.attempts import Attempts
from sim_mcp.gateway.audit import Audit
from sim_mcp.gateway.call import Gateway
from sim_mcp.gateway.checkup import Checkup
from sim_mcp.gateway.curation import Curation, Discovery, Validation
from sim_mcp.gateway.follow_up import Follower
from sim_mcp.gateway.inputs import Inputs
from sim_mcp.gateway.inquiry import Inquiry
from sim_mcp.gateway.keeping import Keeping, Purged
from sim_mcp.gateway.keepsake import Keepsakes
from sim_mcp.gateway.live import LiveCalls, Progress, Watch
from sim_mcp.gateway.metrics import Ends, MetricsDesk, TenantMetrics, Timeline
from sim_mcp.gateway.pace import Pace, UsualDuration
from sim_mcp.gateway.planning import Plan, Planner
from sim_mcp.gateway.plans import Plans
from sim_mcp.gateway.redaction import Redactor
from sim_mcp.gateway.remedies import complaint, halves, remedy_for
from sim_mcp.gateway.repeats import Repeats
from sim_mcp.gateway.runs import Runs
from sim_mcp.gateway.setup_desk import IssuedLink, SeenLink, SetupDesk
from sim_mcp.gateway.sim_budget import SimBudget
from sim_mcp.gateway.status import SimHealth, StatusDesk, TenantStatus
from sim_mcp.gateway.steps import Steps
from sim_mcp.gateway.task_desk import TaskDesk
from sim_mcp.gateway.tenancy import ProcessKey, Tenancy
from sim_mcp.gateway.tickets import Ticket, Tickets
from sim_mcp.gateway.waiting import Waiting

__all__ = [
    "Administration", "Allowance", "Answers", "Attempts", "Audit", "Checkup", "Curation", "Discovery",
    "Ends", "Follower", "Gateway", "Inputs", "Inquiry", "IssuedLink", "Keeping", "Keepsakes", "LiveCalls",
    "MetricsDesk", "Pace", "Plan", "Planner", "Plans", "ProcessKey", "Progress", "Purged", "Redactor",
    "Repeats", "Runs", "SeenLink", "SetupDesk", "SetupReport", "SimBudget", "SimHealth", "StatusDesk",
    "Steps", "TaskDesk", "Tenancy", "TenantLimits", "TenantMetrics", "TenantStatus", "Ticket", "Tickets",
    "Timeline", "UsualDuration", "Validation", "Waiting", "Watch", "complaint", "halves", "remedy_for",
]  # fmt: skip
