"""The store: everything that outlives the process, and the only SQL."""

from sim_mcp.store.audit_keys import AuditKey, AuditKeys
from sim_mcp.store.audit_trail import AuditTrail, Broken, Linked, Verdict
from sim_mcp.store.changes import Change, ChangeKind
from sim_mcp.store.claims import ATTACHED, KEY_HELD_FOR, Claim, Claims
from sim_mcp.store.copying import copy_all
from sim_mcp.store.events import Sender
from sim_mcp.store.execution_rows import Outcome
from sim_mcp.store.executions import Executions
from sim_mcp.store.history import ExecutionFilter, Page
from sim_mcp.store.inspection import (
    FileFindings,
    StoredConnection,
    allow_list_owners,
    inspect_file,
    stored_connections,
)
from sim_mcp.store.job_rows import NewJob
from sim_mcp.store.jobs import JobPage
from sim_mcp.store.retention import Retention
from sim_mcp.store.sealing import Binding, Sealer, load_or_create_key_file, parse_keys
from sim_mcp.store.setup_links import SetupLinks
from sim_mcp.store.spent_tickets import SpentTickets
from sim_mcp.store.statistics import FailureCount, SlotCount, Statistics, ToolCount
from sim_mcp.store.store import Store, is_postgres, open_store, sqlite_path
from sim_mcp.store.tasks import Tasks
from sim_mcp.store.tokens import Token, Tokens
from sim_mcp.store.tool_secrets import StoredSecret, ToolSecrets
from sim_mcp.store.tools import StoredTool
from sim_mcp.store.workers import SILENT_S

__all__ = [
    "ATTACHED", "KEY_HELD_FOR", "SILENT_S", "AuditKey", "AuditKeys", "AuditTrail", "Binding", "Broken",
    "Change", "ChangeKind", "Claim", "Claims", "ExecutionFilter", "Executions", "FailureCount",
    "FileFindings", "JobPage", "Linked", "NewJob", "Outcome", "Page", "Retention", "Sealer", "Sender",
    "SetupLinks", "SlotCount", "SpentTickets", "Statistics", "Store", "StoredConnection", "StoredSecret",
    "StoredTool", "Tasks", "Token", "Tokens", "ToolCount", "ToolSecrets", "Verdict", "allow_list_owners",
    "copy_all", "inspect_file", "is_postgres", "load_or_create_key_file", "open_store", "parse_keys",
    "sqlite_path", "stored_connections",
]  # fmt: skip
