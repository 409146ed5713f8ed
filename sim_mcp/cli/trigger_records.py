"""What REST would show of events, schedules and jobs, with the names of the command line."""

from __future__ import annotations

from typing import cast

from sim_mcp.model.json import Json


def snake(view: str, found: object) -> Json:
    """What the view called `view` of `transports.trigger_views` shows of `found`."""
    from sim_mcp.transports import trigger_views

    return trigger_views.snake_case(cast("Json", getattr(trigger_views, view)(found)))
