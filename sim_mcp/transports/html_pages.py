"""What our HTML pages have in common: escaped templates, one inline style sheet, nothing from outside."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment

PAGES = Path(__file__).parent / "pages"


class HtmlPages:
    """Templates with one style sheet. Every value in them is escaped.

    `headers` go with every answer: the style may be this one sheet and nothing else, and scripts may only
    come from this server, if `has_script`.
    """

    def __init__(self, css_file: str, *, has_script: bool = False) -> None:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
        from markupsafe import Markup

        # What is hashed must be what is sent, byte for byte: the template puts nothing around it.
        css = (PAGES / css_file).read_text(encoding="utf-8").strip()
        digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
        self.pages: Environment = Environment(
            loader=FileSystemLoader(PAGES), autoescape=True, undefined=StrictUndefined, auto_reload=False
        )
        self._css = Markup(css)  # noqa: S704 - our own file
        scripts = "script-src 'self'; connect-src 'self'; " if has_script else ""
        self.headers = {
            "content-security-policy": (
                f"default-src 'none'; style-src 'sha256-{digest}'; {scripts}form-action 'self'; "
                "base-uri 'none'; frame-ancestors 'none'"
            ),
            "referrer-policy": "no-referrer",
            "cache-control": "no-store",
            "x-content-type-options": "nosniff",
            "x-frame-options": "DENY",
            "cross-origin-opener-policy": "same-origin",
            "permissions-policy": "camera=(), geolocation=(), microphone=()",
        }

    def render(self, name: str, **values: object) -> str:
        """The page `name` with `values`."""
        return self.pages.get_template(name).render(css=self._css, **values)
