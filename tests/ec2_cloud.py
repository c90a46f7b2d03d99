"""What stands between the driver and a moto server: what EC2 does and moto does not, and faults that a test orders.

moto makes as many machines as the least that a call wants, has no end of machines, and knows no client tokens. Here
each zone has a stock of each type, a call gets what is left, and a client token gives the same answer again, as EC2's
documentation says. Everything else, machines, tags, listings and their pages, is moto's.
"""

import asyncio
import re
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, urlencode
from xml.etree import ElementTree

import aiohttp
import boto3
from aiohttp import web

from dcp.drivers.clouds.accounts import Ec2Account

REGION = "us-east-1"
AMI = "ami-0123456789abcdef0"
SPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"
PLENTY = 1_000_000
Place = tuple[str, str]
"""Zone and machine type."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What a client token was answered with."""

    parameters: frozenset[tuple[str, str]]
    body: str
    made: tuple[str, ...]


class Ec2Cloud:
    """A proxy in front of a moto server, in the loop of the test."""

    def __init__(self, moto_url: str, stock: dict[Place, int] | None = None, *, otherwise: int = PLENTY) -> None:
        self.stock = dict(stock or {})
        self.otherwise = otherwise
        self.calls: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.launched: list[str] = []
        """Every machine that was ever made."""
        self.lost = 0
        """Calls that had their effect and were left without an answer."""
        self.lag_s = 0.0
        """Machines of a launch whose answer is lost are shown only so long after they were made."""
        self.repeated = 0
        """Launches that were answered again by their client token."""
        self.last_launch: frozenset[tuple[str, str]] = frozenset()
        """The parameters of the last launch, as they came."""
        self.page: int | None = None
        self.lost_answers: Callable[[str], bool] = lambda _: False
        """Whether a call that has had its effect is left without an answer."""
        self.throttled: Callable[[str], bool] = lambda _: False
        self.url = ""
        self._moto = moto_url
        self._orders: dict[str, deque[web.Response]] = defaultdict(deque)
        self._places: dict[str, Place] = {}
        self._hidden_until: dict[str, float] = {}
        self._tokens: dict[str, Answered] = {}
        self._launching = asyncio.Lock()

    async def __aenter__(self) -> "Ec2Cloud":
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(60))
        app = web.Application()
        app.router.add_post("/", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()
        await self._session.close()

    def answer(self, action: str, code: str, *, status: int = 400, words: str = "as the test wants it") -> None:
        """Let the next call of this action fail, without effect."""
        self._orders[action].append(failure(code, status, words))

    def say(self, action: str, body: str) -> None:
        """Let the next call of this action be answered with this, without asking moto."""
        self._orders[action].append(_xml(f'<{action}Response xmlns="{SPACE}">{body}</{action}Response>'))

    def there(self) -> list[str]:
        """Return the machines that were made and not ended."""
        return list(self._places)

    def left(self, place: Place) -> int:
        """Return how many more machines can be made there."""
        used = sum(1 for one in self._places.values() if one == place)
        return self.stock.get(place, self.otherwise) - used

    async def _take(self, request: web.Request) -> web.StreamResponse:
        form = dict(parse_qsl(await request.text(), keep_blank_values=True))
        action = form["Action"]
        self.calls[action] += 1
        if self._orders[action]:
            return self._orders[action].popleft()
        if self.throttled(action):
            self.refused[action] += 1
            return failure("RequestLimitExceeded", 503, "Request limit exceeded.")
        lost = self.lost_answers(action)
        if action == "RunInstances":
            async with self._launching:
                answer = await self._run_instances(form, request, lost=lost)
        else:
            answer = await self._forward(form, request)
        if lost:
            self.lost += 1
            if request.transport is not None:
                request.transport.abort()
        return answer

    async def _run_instances(self, form: dict[str, str], request: web.Request, *, lost: bool) -> web.Response:
        token = form["ClientToken"]
        self.last_launch = parameters = frozenset(form.items())
        if (before := self._tokens.get(token)) is not None:
            if before.parameters != parameters:
                return failure("IdempotentParameterMismatch", 400, "the token was used with other parameters")
            if not any(one in self._places for one in before.made):
                return failure("IdempotentInstanceTerminated", 400, "the instances of this token are terminated")
            self.repeated += 1
            return _xml(before.body)
        place = (form.get("Placement.AvailabilityZone", ""), form["InstanceType"])
        count = min(int(form["MaxCount"]), self.left(place))
        if count < int(form["MinCount"]):
            self.refused[place[0]] += 1
            return failure("InsufficientInstanceCapacity", 500, "We currently do not have sufficient capacity.")
        answer = await self._forward({**form, "MinCount": str(count), "MaxCount": str(count)}, request)
        if answer.status == 200:
            assert isinstance(answer.text, str)
            made = tuple(re.findall(r"<instanceId>(i-[0-9a-f]+)</instanceId>", answer.text))
            assert len(made) == count
            self._tokens[token] = Answered(parameters, answer.text, made)
            self._places.update(dict.fromkeys(made, place))
            if lost:
                self._hidden_until.update(dict.fromkeys(made, time.monotonic() + self.lag_s))
            self.launched.extend(made)
        return answer

    async def _forward(self, form: dict[str, str], request: web.Request) -> web.Response:
        if self.page is not None and "MaxResults" in form:
            form = {**form, "MaxResults": str(self.page)}
        headers = {name: request.headers[name] for name in ("Authorization", "Content-Type") if name in request.headers}
        async with self._session.post(self._moto, data=urlencode(form), headers=headers) as found:
            text = await found.text()
        if form["Action"] == "TerminateInstances" and found.status == 200:
            for name in re.findall(r"<instanceId>(i-[0-9a-f]+)</instanceId>", text):
                self._places.pop(name, None)
        if form["Action"] == "DescribeInstances" and self.lag_s:
            now = time.monotonic()
            text = _without(text, {name for name, until in self._hidden_until.items() if now < until})
        return _xml(text, status=found.status)


def _without(text: str, hidden: set[str]) -> str:
    """Return a listing that does not show these machines yet."""
    if not any(name in text for name in hidden):
        return text
    ElementTree.register_namespace("", SPACE)
    root = ElementTree.fromstring(text)
    for machines in root.findall(".//{*}instancesSet"):
        for one in [one for one in machines if one.findtext("{*}instanceId") in hidden]:
            machines.remove(one)
    return ElementTree.tostring(root, encoding="unicode")


def failure(code: str, status: int, words: str) -> web.Response:
    """Return an answer as EC2 refuses."""
    error = f"<Errors><Error><Code>{code}</Code><Message>{words}</Message></Error></Errors>"
    return _xml(f"<Response>{error}<RequestID>r-1</RequestID></Response>", status=status)


def ec2_account(url: str, folder: Path, **changes: Any) -> Ec2Account:
    """Return an account whose keys stand in a file."""
    file = folder / "ec2.yaml"
    file.write_text("aws_access_key_id: test\naws_secret_access_key: test\n")
    return Ec2Account(REGION, credentials_file=str(file), endpoint=url, **changes)


def make_stranger(moto_url: str, owner: str, image: str) -> str:
    """Make a machine that carries an owner and that no ledger knows; return its id."""
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "dcp-owner", "Value": owner}]}]
    made = ec2_client(moto_url).run_instances(
        ImageId=image, InstanceType="t3.small", MinCount=1, MaxCount=1, TagSpecifications=tags
    )
    return str(made["Instances"][0]["InstanceId"])


def ec2_client(url: str) -> Any:
    """Return a client of the vendor's library."""
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client("ec2", REGION, endpoint_url=url, **keys)


def _xml(text: str, *, status: int = 200) -> web.Response:
    return web.Response(text=text, status=status, content_type="text/xml")
