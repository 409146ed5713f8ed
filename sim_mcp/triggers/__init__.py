"""What starts by itself: events and schedules, and the jobs that come of them."""

from sim_mcp.triggers.ingest import Accepted, Ingest, Preview, Reason
from sim_mcp.triggers.job_desk import JobDesk
from sim_mcp.triggers.mapping_desk import MappingDesk
from sim_mcp.triggers.performing import Performer
from sim_mcp.triggers.schedule_desk import ScheduleDesk, ScheduleView
from sim_mcp.triggers.signatures import sign
from sim_mcp.triggers.timetable import Timetable
from sim_mcp.triggers.worker import Worker

__all__ = [
    "Accepted", "Ingest", "JobDesk", "MappingDesk", "Performer", "Preview", "Reason", "ScheduleDesk",
    "ScheduleView", "Timetable", "Worker", "sign",
]  # fmt: skip
