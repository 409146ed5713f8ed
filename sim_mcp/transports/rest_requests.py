"""Reading REST requests: bounded, strict, and with each fault at its path."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import TYPE_CHECKING, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from sim_mcp.model.credentials import without_credentials
from sim_mcp.model.errors import Fault, InvalidInput, PayloadTooLarge
from sim_mcp.model.json import is_object

if TYPE_CHECKING:
    from starlette.requests import Request

M = TypeVar("M", bound=BaseModel)

LARGEST_BODY_BYTES = 10 * 1024 * 1024
_LONGEST_INTEGER = 300
"""Digits. Longer ones are beyond any float, which is what SIM reads them as."""


async def read_body(request: Request, model: type[M]) -> M:
    """The JSON body as `model`; an empty body counts as `{}`.

    Raises:
        InvalidInput: not a JSON object, or not what `model` wants; each fault with its path.
        PayloadTooLarge: more than 10 MiB.
    """
    raw = await _read(request)
    if (
        raw
        and request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json"
    ):
        raise InvalidInput("Send the body as JSON, with `Content-Type: application/json`.")
    return _checked(model, _parsed(raw) if raw else {}, prefix="$")


def read_query(request: Request, model: type[M]) -> M:
    """The query parameters as `model`.

    Raises:
        InvalidInput: an unknown, repeated or unfit parameter.
    """
    items = request.query_params.multi_items()
    repeated = [name for name, count in Counter(name for name, _ in items).items() if count > 1]
    if repeated:
        faults = tuple(Fault(_shown(name), "is given more than once") for name in repeated)
        raise InvalidInput(_listed("The query is not valid", faults), faults=faults)
    return _checked(model, dict(items), prefix="")


async def _read(request: Request) -> bytes:
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared[:20]) > LARGEST_BODY_BYTES:
        _refuse_size()
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY_BYTES:
            _refuse_size()
    return bytes(body)


def _refuse_size() -> NoReturn:
    raise PayloadTooLarge(f"The body is larger than the limit of {LARGEST_BODY_BYTES} bytes. Send less.")


def _parsed(raw: bytes) -> object:
    try:
        value = json.loads(
            raw.decode("utf-8"),
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_bounded,
            object_pairs_hook=_without_repeats,
        )
    except _Unfit as unfit:
        raise InvalidInput(f"The body is not valid: {unfit}.") from None
    except (ValueError, RecursionError):  # the parser's own words may repeat the body, which may hold a key
        raise InvalidInput("The body is not valid JSON.") from None
    if not is_object(value):
        raise InvalidInput("The body must be a JSON object.")
    return value


class _Unfit(ValueError):
    """JSON that two readers could take for two different things. Says why, quoting nothing."""


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise _Unfit("an object in it has the same key twice")
    return made


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _Unfit("a number in it is too large")
    return value


def _bounded(text: str) -> int:
    if len(text) > _LONGEST_INTEGER:
        raise _Unfit("a number in it is too large")
    return int(text)


def _refuse_constant(name: str) -> NoReturn:
    raise _Unfit(f"{name} is no JSON")


def _checked(model: type[M], value: object, *, prefix: str) -> M:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        faults = tuple(
            Fault(_path(item["loc"], prefix), _words(item["type"], item["msg"]))
            for item in error.errors(include_url=False, include_input=False, include_context=False)
        )
        what = "The body is not valid" if prefix else "The query is not valid"
        raise InvalidInput(_listed(what, faults), faults=faults) from None


def _path(location: tuple[int | str, ...], prefix: str) -> str:
    parts = [prefix] if prefix else []
    return ".".join([*parts, *(_shown(str(part)) for part in location)])


def _shown(name: str) -> str:
    """A name that the caller chose; what was pasted there by mistake may be a credential."""
    return without_credentials(name)[:64]


def _words(kind: str, message: str) -> str:
    if kind == "missing":
        return "is required"
    if kind == "extra_forbidden":
        return "is not known here"
    text = message.removeprefix("Value error, ").removeprefix("Input ")
    return text[:1].lower() + text[1:]


def _listed(what: str, faults: tuple[Fault, ...]) -> str:
    return f"{what}. {'; '.join(f'{fault.path}: {fault.message}' for fault in faults[:10])}."
