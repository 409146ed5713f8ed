"""Content for clients of revisions that do not know all its kinds: one unknown block can cost the result."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from mcp_types import AudioContent, CallToolResult, ResourceLink, TextContent

if TYPE_CHECKING:
    from mcp_types import ContentBlock

FIRST_WITH_AUDIO = "2025-03-26"
FIRST_WITH_LINKS = "2025-06-18"

_Told = TypeVar("_Told")


def for_revision(result: _Told, revision: str) -> _Told:
    """`result` in the blocks of `revision`: links, and sounds, become text in revisions without them."""
    if not isinstance(result, CallToolResult) or revision >= FIRST_WITH_LINKS:
        return result
    result.content = [_known(block, revision) for block in result.content]
    return result


def _known(block: ContentBlock, revision: str) -> ContentBlock:
    if isinstance(block, ResourceLink):
        about = ", ".join(text for text in (block.title or block.name, block.mime_type) if text)
        return TextContent(type="text", text=f"{about}: {block.uri}")
    if isinstance(block, AudioContent) and revision < FIRST_WITH_AUDIO:
        told = f"A sound ({block.mime_type}), which this client's revision of MCP cannot carry."
        return TextContent(type="text", text=f"{told} It is in the execution's resource.")
    return block
