"""Reading a streamed run: server-sent events in, text chunks and one `Run` out (sim-api 1.10)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sim_mcp.model.errors import SimAnswerLost
from sim_mcp.model.execution import Status
from sim_mcp.model.json import Json, JsonObject, is_object
from sim_mcp.model.run import Run, RunId
from sim_mcp.sim.outcomes import failure, status_of, unsuccessful, with_output
from sim_mcp.sim.parsing import object_at, parse_json, text_at
from sim_mcp.sim.pauses import has_certain_pause, pauses_of_output
from sim_mcp.sim.storage import without_storage

if TYPE_CHECKING:
    from sim_mcp.sim.exchange import TextStream
    from sim_mcp.sim.wording import Wording

OnText = Callable[[str], Awaitable[None]]

DONE = frozenset({b'"[DONE]"', b"[DONE]"})


class DataLines:
    """Splits bytes into the payloads of `data:` lines, wherever the chunks were cut.

    Works by line, not by blank line: SIM's frames are one line each, and a proxy may drop the blank ones.
    """

    def __init__(self) -> None:
        self._rest: list[bytes] = []
        """The pieces of an unfinished line: joined once, however small they come."""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The payloads that `chunk` completes."""
        if b"\n" not in chunk:
            self._rest.append(chunk)
            return iter(())
        *lines, rest = b"".join([*self._rest, chunk]).split(b"\n")
        self._rest = [rest]
        return _payloads(lines)

    def end(self) -> Iterator[bytes]:
        """The payload of a last line without line feed, if any."""
        rest, self._rest = b"".join(self._rest), []
        return _payloads([rest])


@dataclass(slots=True, kw_only=True)
class _Reading:
    """What was read so far. `final` is the frame that ended the run."""

    texts: list[str] = field(default_factory=list[str])
    held: str = ""
    """The end of the text, while it may be the beginning of the key."""
    final: JsonObject | None = None
    kept_back: int = 0


async def run_of_stream(
    stream: TextStream, *, run_id: RunId, words: Wording, on_text: OnText | None
) -> tuple[Run, bool]:
    """Follow `stream` to its end.

    Args:
        stream: The answer to a stream execute or resume.
        run_id: The run's id; frames carry none.
        words: For tidying SIM's texts.
        on_text: Gets each piece of text as it arrives, never with the key; whatever it raises ends the
            reading.

    Returns:
        The run, and whether SIM named its status itself (a pause may hide behind a bare success).
        SIM leaves what it streamed out of the final output, so the text joins it as `content`.

    Raises:
        SimAnswerLost: The stream ended, or broke, before it told how the run ended.
        SimTimeout: It did not end in time.
    """
    reading = _Reading()
    lines = DataLines()
    async with aclosing(stream.chunks) as chunks:
        async for chunk in chunks:
            for payload in lines.feed(chunk):
                await _read(words.without_key_bytes(payload), reading, words, on_text)
            if reading.final is not None:
                break
        else:
            for payload in lines.end():
                await _read(words.without_key_bytes(payload), reading, words, on_text)
    if reading.held and on_text is not None:
        await on_text(reading.held)
    if reading.final is None:
        raise SimAnswerLost(
            "SIM's stream ended without saying how the run ended. "
            "Do not start it again; look the execution up.",
            sim_request_id=stream.request_id,
        )
    run, is_stated = _concluded(reading.final, run_id=run_id, words=words)
    output = _joined("".join(reading.texts), run.output) if run.status is Status.COMPLETED else run.output
    run = replace(run, sim_request_id=stream.request_id)
    return with_output(run, output, kept_back=reading.kept_back), is_stated


async def _read(payload: bytes, reading: _Reading, words: Wording, on_text: OnText | None) -> None:
    """Take in one frame; frames that we do not know, and whatever follows the last one, are ignored."""
    if reading.final is not None or payload in DONE:
        return
    try:
        frame, kept_back = without_storage(parse_json(payload), payload)
    except ValueError:
        return
    if not is_object(frame):
        return
    event = text_at(frame, "event")
    if not event and text_at(frame, "chunk"):
        reading.texts.append(text_at(frame, "chunk"))
        told, reading.held = words.split_at_key(reading.held + text_at(frame, "chunk"))
        if told and on_text is not None:
            await on_text(told)
    elif event in {"final", "error"}:
        reading.final, reading.kept_back = frame, kept_back


def _concluded(frame: JsonObject, *, run_id: RunId, words: Wording) -> tuple[Run, bool]:
    if text_at(frame, "event") == "error":
        status, error = unsuccessful(frame.get("error"), words)
        if not frame.get("error"):
            status, error = Status.FAILED, failure(None, words)
        return Run(status=status, run_id=run_id, error=error), True
    final = object_at(frame, "data")
    output = final.get("output")
    if final.get("success") is not True:
        status, error = unsuccessful(final.get("error"), words)
        return Run(status=status, run_id=run_id, output=output, error=error), True
    word = final.get("status")
    if word is None:
        status = Status.PAUSED if has_certain_pause(output) else Status.COMPLETED
    else:
        status = status_of(word)
    pauses = pauses_of_output(output) if status is Status.PAUSED else ()
    is_stated = word is not None or status is Status.PAUSED
    return Run(status=status, run_id=run_id, output=output, pauses=pauses), is_stated


def _joined(text: str, output: Json) -> Json:
    if not text:
        return output
    if output is None or output == {}:
        return {"content": text}
    if not is_object(output):
        return {"content": text, "output": output}
    return {"content" if "content" not in output else "streamed": text, **output}


def _payloads(lines: list[bytes]) -> Iterator[bytes]:
    for line in lines:
        if line.startswith(b"data:"):
            payload = line[5:].strip()
            if payload:
                yield payload
