"""How long one connection may keep the server waiting, and what it hears when that was too long.

The server's library waits for ever for the rest of a request and for a reader of its answer: whoever opens
connections and says nothing, or reads nothing, would hold them until nobody else gets one.
"""

from __future__ import annotations

import json
import socket
import struct
import uuid
from typing import TYPE_CHECKING, cast

from uvicorn.protocols.http.h11_impl import H11Protocol

from sim_mcp.model.errors import ErrorCode
from sim_mcp.transports.problems import problem_body

if TYPE_CHECKING:
    import asyncio

    from uvicorn.protocols.http.h11_impl import RequestResponseCycle

REQUEST_WITHIN_S = 60.0
"""From the moment when a request may come, or the answer before it ended, until all of it is there."""
READ_WITHIN_S = 60.0
"""How long a client may read nothing of an answer that waits for it."""
_FORGET = struct.pack("ii", 1, 0)
_PHRASES = {400: "Bad Request", 408: "Request Timeout"}
_LATE = "The request was not complete in time: send it again, all at once. Nothing was done."
_MALFORMED = "This is no HTTP request that can be read: check its first line, and its headers and their size."


class PatientProtocol(H11Protocol):
    """One connection to a client, with two timers. Hand it to `uvicorn.Config(http=…)`."""

    _awaited: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """A client is there: its first request is awaited."""
        super().connection_made(transport)
        self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is awaited any more."""
        for timer in (self._awaited, self._unread):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """An answer is out: the next request is awaited."""
        super().on_response_complete()
        self._await_request()

    def pause_writing(self) -> None:
        """The client reads more slowly than it is answered."""
        super().pause_writing()
        self._unread = self.loop.call_later(READ_WITHIN_S, self._cut)

    def resume_writing(self) -> None:
        """It has read enough."""
        if self._unread is not None:
            self._unread.cancel()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP: told in our error format; the parser's own words help nobody."""
        del msg
        self._refuse(400, _MALFORMED)

    def _await_request(self) -> None:
        if self._awaited is not None:
            self._awaited.cancel()
        self._awaited = self.loop.call_later(REQUEST_WITHIN_S, self._give_up)

    def _give_up(self) -> None:
        cycle = cast("RequestResponseCycle | None", self.cycle)  # none before the first request
        if cycle is not None and cycle.response_complete:
            cycle = None
        if self.transport.is_closing() or (cycle is not None and not cycle.more_body):
            return
        if cycle is not None and cycle.response_started:
            self._cut()  # half an answer is out: another one would only garble it
        else:
            self._refuse(408, _LATE)

    def _cut(self) -> None:
        """End the connection at once. What was not read is lost; rows and runs do not depend on who reads."""
        # Else the system goes on offering what it holds for the client, for as long as that does not read.
        connection: socket.socket = self.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _FORGET)
        self.transport.abort()

    def _refuse(self, status: int, message: str) -> None:
        body = problem_body(status, ErrorCode.INVALID_INPUT.value, message, uuid.uuid4().hex)
        content = json.dumps(body, separators=(",", ":")).encode()
        head = (
            f"HTTP/1.1 {status} {_PHRASES[status]}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(content)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + content)
        self.transport.close()
