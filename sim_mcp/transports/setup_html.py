"""How the setup page looks: HTML from templates, escaped, without scripts or anything from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim_mcp.model.json import is_object
from sim_mcp.model.setup_link import LinkState
from sim_mcp.transports.html_pages import HtmlPages

if TYPE_CHECKING:
    from sim_mcp.model.json import Json
    from sim_mcp.model.run import Workspace
    from sim_mcp.model.setup_link import SetupLink

_ASK_AGAIN = "Ask your assistant to connect SIM again; it gives you a new link."
_ENDED = {
    LinkState.USED: ("This link was used", "A key was stored with it. Each link works once."),
    LinkState.EXPIRED: ("This link has expired", "A link works for ten minutes."),
    LinkState.SPENT: (
        "This link is closed",
        "SIM did not accept several keys in a row. Nothing was stored.",
    ),
}
_DIALECTS = {"v2": "v2", "legacy": "legacy (before v2)"}


class SetupHtml:
    """The pages as text. Every value in them is escaped; the typed key is never handed in."""

    def __init__(self) -> None:
        self._pages = HtmlPages("setup.css")
        self.headers = self._pages.headers
        """The headers of every answer."""

    def key(
        self, link: SetupLink, *, csrf: str, problem: str | None = None, banner: str | None = None
    ) -> str:
        """The form; `problem` is about the key and stands beside its field, `banner` about all else."""
        return self._pages.render(
            "key.html", link=link, until=link.expires_at, csrf=csrf, problem=problem, banner=banner
        )

    def connected(
        self,
        link: SetupLink,
        *,
        csrf: str,
        choosing: bool,
        chosen: Workspace | None = None,
        problem: str | None = None,
    ) -> str:
        """What was found; with `choosing`, the form that settles which workspace is offered."""
        found = link.found if is_object(link.found) else None
        return self._pages.render(
            "connected.html",
            link=link,
            dialect=_DIALECTS.get(link.dialect or "", link.dialect),
            limits=_limits(None if found is None else found.get("usage")),
            csrf=csrf,
            choosing=choosing,
            chosen=chosen,
            problem=problem,
        )

    def ended(self, state: LinkState) -> str:
        """Why a link that was one does not open the form any more."""
        title, why = _ENDED[state]
        return self.notice(title, f"{why} {_ASK_AGAIN}")

    def unknown(self) -> str:
        """A link that never was one, or ended long ago."""
        return self.notice("There is no such link", f"It is mistyped, or older than a day. {_ASK_AGAIN}")

    def notice(self, title: str, words: str) -> str:
        """A page that only says something."""
        return self._pages.render("ended.html", title=title, words=words)


def _limits(usage: Json) -> list[tuple[str, str]]:
    """Plan and limits in words; nothing for what SIM does not tell."""
    if not is_object(usage):
        return []
    told: list[tuple[str, str]] = []
    if usage.get("plan") is not None:
        told.append(("Plan", str(usage["plan"])))
    runs = [
        f"{usage[f'{mode}_per_minute']} {mode}"
        for mode in ("sync", "async")
        if usage.get(f"{mode}_per_minute") is not None
    ]
    if runs:
        told.append(("Runs a minute", ", ".join(runs)))
    cost, limit = usage.get("period_cost"), usage.get("period_limit")
    if isinstance(cost, int | float) and isinstance(limit, int | float):
        told.append(("Used in this period", f"{cost:.2f} of {limit:.2f}"))
    return told
