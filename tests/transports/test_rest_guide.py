"""Every line of `docs/rest.md` does what it says: curl, translated and asked in this process."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import httpx
import pytest

from sim_mcp.sim.fake import demo_account, workflow_id
from tests.transports.rest_document import DOCUMENTED
from tests.transports.web import HOST, Web, bearer, open_web

GUIDE = (Path(__file__).parents[2] / "docs" / "rest.md").read_text(encoding="utf-8")
BASE = f"{HOST}/api/integration/sim"


class Shell:
    """Understands the few words of the guide: variables, `curl`, and `jq -r .field`."""

    def __init__(self, web: Web, variables: dict[str, str]) -> None:
        self._web = web
        self._variables = variables
        self.answers: list[httpx.Response] = []

    async def run(self, line: str) -> None:
        """One line of a block; its comment is the status that it must answer."""
        command, _, comment = line.partition("  #")
        assigned = re.fullmatch(r"(\w+)=(?!\$\()(.*)", command.strip())
        captured = re.fullmatch(r"(\w+)=\$\((.*) \| jq -r \.(\w+)\)", command.strip())
        if assigned:
            self._variables[assigned[1]] = " ".join(shlex.split(self._filled(assigned[2])))
            return
        answer = await self._curl(shlex.split(self._filled(captured[2] if captured else command)))
        assert str(answer.status_code) == comment.strip(), f"{line}: {answer.text}"
        if captured:
            self._variables[captured[1]] = answer.json()[captured[3]]

    def _filled(self, text: str) -> str:
        return re.sub(r"\$(\w+)", lambda name: self._variables[name[1]], text)

    async def _curl(self, words: list[str]) -> httpx.Response:
        assert words[:2] == ["curl", "-sS"]
        method, url, headers, content = "GET", "", dict[str, str](), b""
        rest = iter(words[2:])
        for word in rest:
            match word:
                case "-X":
                    method = next(rest)
                case "-H":
                    name, _, value = next(rest).partition(": ")
                    headers[name] = value
                case "-d":
                    given = next(rest)
                    content = (self._variables[given] if given.startswith("@") else given).encode()
                case _:
                    url = word
        answer = await self._web.client.request(method, url, headers=headers, content=content)
        DOCUMENTED.check(method, url.removeprefix(BASE), answer)
        self.answers.append(answer)
        return answer


@pytest.mark.anyio
@pytest.mark.requirement("R45", "R46", "R47", "R48", "R49", "R50")
async def test_every_line_of_the_rest_guide_answers_as_it_says(tmp_path: Path) -> None:
    """From connecting to disconnecting, in order; the error that it prints is the real one."""
    blocks: list[str] = re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL)
    shown: dict[str, Any] = json.loads(re.findall(r"```json\n(.*?)```", GUIDE, re.DOTALL)[0])
    async with open_web(tmp_path) as web:
        await web.allow("acme", "quick")
        shell = Shell(
            web,
            {
                "TOKEN": bearer()["authorization"].removeprefix("Bearer "),
                "WORKFLOW": workflow_id("acme", "quick"),
                "@setup.json": json.dumps({"apiKey": demo_account("acme").api_key}),
            },
        )
        for line in "".join(blocks).splitlines():
            await shell.run(line)
        assert shown in [answer.json() for answer in shell.answers if answer.status_code == 400]
        assert len(shell.answers) > 15
