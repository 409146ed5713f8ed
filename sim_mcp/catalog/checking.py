"""Checks arguments against a tool's input schema: bounded in work, in depth and in what it tells."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from sim_mcp.catalog.applicators import judge_of
from sim_mcp.catalog.faults import faults_of, path_of
from sim_mcp.catalog.judging import TextTooLong
from sim_mcp.catalog.size import TooDeep, json_bytes
from sim_mcp.catalog.work import MAX_STEPS, OutOfWork, Work
from sim_mcp.model.errors import Fault, InvalidInput, PayloadTooLarge

if TYPE_CHECKING:
    from sim_mcp.model.json import JsonObject
    from sim_mcp.model.tool import WorkflowTool

MAX_FAULTS = 10
MAX_DEPTH = 64
MAX_BYTES = 10 * 1024 * 1024
"""What SIM accepts as a body (sim-api 1.13)."""


class TooMuchWork(PayloadTooLarge):
    """The check takes more steps than it was given; with more it might end."""


def check_arguments(tool: WorkflowTool, arguments: JsonObject, *, steps: int = MAX_STEPS) -> JsonObject:
    """`arguments` unchanged, when they keep every rule of `tool`; defaults are not filled in.

    Raises:
        InvalidInput: with one fault for each broken rule, at most `MAX_FAULTS`; or with one for a
            text that is too long to be judged at all.
        PayloadTooLarge: too deep or too large.
        TooMuchWork: there is no verdict within `steps`.
    """
    work = Work(steps)
    try:
        _check_size(arguments, work)
        findings = judge_of(tool.input_schema, work).findings(arguments, tool.input_schema)
        faults = faults_of(islice(findings, MAX_FAULTS * 10), limit=MAX_FAULTS, work=work)
    except TextTooLong as error:
        message = (
            f"is or holds a text of more than {error.limit} characters, too long for its pattern; shorten it"
        )
        faults = (Fault(path_of(error.path), message),)
    except (RecursionError, OverflowError, OutOfWork) as error:  # a number beyond any float overflows
        raise TooMuchWork(
            f"The arguments of {tool.name!r} are too complex to be checked; send less."
        ) from error
    if faults:
        listing = "; ".join(f"{fault.path} {fault.message}" for fault in faults)
        raise InvalidInput(f"The arguments of {tool.name!r} are not valid: {listing}.", faults=faults)
    return arguments


def _check_size(arguments: JsonObject, work: Work) -> None:
    try:
        size = json_bytes(arguments, work, depth_at_most=MAX_DEPTH)
    except TooDeep as error:
        raise PayloadTooLarge(
            f"The arguments are nested deeper than {MAX_DEPTH} levels; flatten them."
        ) from error
    except ValueError as error:
        fault = Fault("$", "must be JSON: no NaN, no infinity, no half of a surrogate pair")
        raise InvalidInput(f"The arguments are not valid: {fault.message}.", faults=(fault,)) from error
    if size > MAX_BYTES:
        raise PayloadTooLarge(f"The arguments have {size} bytes, more than {MAX_BYTES}; send less.")
