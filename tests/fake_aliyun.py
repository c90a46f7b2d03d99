"""The part of Aliyun's ECS that the driver uses: signed RPC calls, client tokens, pages by token, partial success."""

import json
from pathlib import Path
from typing import Any

from aiohttp import web

from cloud_server import CloudMachine, CloudServer
from dcp.drivers.clouds.accounts import AliyunAccount
from dcp.kernel.clock import Clock

KEY_ID, KEY_SECRET = "key-id", "key-secret"
TYPES = {"s-1", "l-4"}


def aliyun_account(cloud: CloudServer, folder: Path, **changes: Any) -> AliyunAccount:
    """Return an account that asks this cloud; its credentials stand in a file in `folder`."""
    file = folder / "aliyun.yaml"
    file.write_text(f"{{access_key_id: {KEY_ID}, access_key_secret: {KEY_SECRET}}}")
    return AliyunAccount("cn-test", credentials_file=str(file), endpoint=cloud.url, **changes)


class FakeAliyun(CloudServer):
    """One region. `quota` counts all instances of the account."""

    def __init__(self, clock: Clock, stock: dict[str, int]) -> None:
        super().__init__(clock, stock)
        self.quota = 10_000
        self.may_look = True
        self.initialising_s = 0.0
        """A machine cannot be deleted before it is so old."""
        self.no_room_to_start: set[str] = set()
        self._tokens: dict[str, tuple[str, list[str]]] = {}

    def routes(self) -> list[web.RouteDef]:
        return [web.route("*", "/", self._answer)]

    def lock(self, host_name: str) -> None:
        """Announce that a spot machine is taken away."""
        self._named(host_name).details["locks"] = ["Recycling"]

    def status_of(self, machine: CloudMachine) -> str:
        """Return the state as the API calls it."""
        if machine.details.get("stopped_mode"):
            return "Stopped"
        if self.runs(machine):
            return "Running"
        return "Pending" if self.clock.now() < machine.made_at + self.initialising_s else "Starting"

    def _named(self, host_name: str) -> CloudMachine:
        return next(one for one in self.present() if one.name == host_name)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        signed = request.headers.get("Authorization", "")
        if f"Credential={KEY_ID}," not in signed or not request.headers.get("x-acs-signature-nonce"):
            return refused("InvalidAccessKeyId.NotFound", "Specified access key is not found.", 404)
        verb = {
            "RunInstances": "create",
            "DescribeInstances": "list",
            "DeleteInstances": "delete",
            "StopInstances": "stop",
            "StartInstances": "start",
        }[request.headers["x-acs-action"]]
        refusal = self.refusal(verb)
        if refusal is not None:
            return refusal
        asked = dict(request.query)
        if asked.get("RegionId") != "cn-test":
            return refused("InvalidRegionId.NotFound", "The specified RegionId does not exist.", 404)
        answers = {"create": self._run, "list": self._describe, "delete": self._delete}
        if verb in answers:
            return answers[verb](asked, request)
        return self._switch(asked, stop=verb == "stop")

    def _run(self, asked: dict[str, str], request: web.Request) -> web.StreamResponse:
        token, plain = asked["ClientToken"], json.dumps(asked, sort_keys=True)
        if token in self._tokens:
            before, ids = self._tokens[token]
            if before != plain:
                return refused("IdempotentParameterMismatch", "The specified parameters differ.", 400)
            return web.json_response({"RequestId": "r", "InstanceIdSets": {"InstanceIdSet": ids}})
        amount, least = int(asked["Amount"]), int(asked["MinAmount"])
        names = [asked[f"HostNames.{n}"] for n in range(1, amount + 1)]
        machine = asked["InstanceType"]
        if machine not in TYPES:
            return refused("InvalidInstanceType.ValueNotSupported", "The specified InstanceType does not exist.", 404)
        if self.quota - len(self.present()) < least:
            return refused("QuotaExceed.ElasticQuota", "The number of instances has exceeded the quota.", 403)
        granted = min(amount, self.left(machine), self.quota - len(self.present()))
        if granted < least:
            return refused("OperationDenied.NoStock", "The resource is out of stock in the specified zone.", 403)
        tags = {asked[f"Tag.{n}.Key"]: asked[f"Tag.{n}.Value"] for n in range(1, 21) if f"Tag.{n}.Key" in asked}
        made = [self.add(name, machine, tags=tags, asked=asked) for name in names[:granted]]
        self._tokens[token] = (plain, [one.id for one in made])
        self.answered(request)
        return web.json_response({"RequestId": "r", "InstanceIdSets": {"InstanceIdSet": [one.id for one in made]}})

    def _describe(self, asked: dict[str, str], _: web.Request) -> web.StreamResponse:
        if asked.get("DryRun", "").lower() == "true":
            if self.may_look:
                return refused("DryRunOperation", "Request validation has been passed with DryRun flag set.", 400)
            return refused("Forbidden.RAM", "User not authorized to operate on the specified resource.", 403)
        shown = self.present() if self.may_look else []
        for n in range(1, 21):
            if f"Tag.{n}.Key" in asked:
                key, value = asked[f"Tag.{n}.Key"], asked[f"Tag.{n}.Value"]
                shown = [one for one in shown if one.details["tags"].get(key) == value]
        if "InstanceIds" in asked:
            shown = [one for one in shown if one.id in json.loads(asked["InstanceIds"])]
        after = asked.get("NextToken", "")
        if after and self.between_pages is not None:
            self.between_pages()
        rest = [one for one in shown if one.id > after]
        page = rest[: min(self.page_limit, 100, int(asked.get("MaxResults", 10)))]
        body: dict[str, Any] = {"RequestId": "r", "Instances": {"Instance": [self._show(one) for one in page]}}
        if len(rest) > len(page):
            body["NextToken"] = page[-1].id
        return web.json_response(body)

    def _delete(self, asked: dict[str, str], _: web.Request) -> web.StreamResponse:
        ids = _ids(asked)
        present = {one.id: one for one in self.present()}
        for one in ids:
            if one not in present:
                return refused("InvalidInstanceId.NotFound", "The specified InstanceId does not exist.", 404)
            if self.status_of(present[one]) == "Pending":
                return refused("IncorrectInstanceStatus.Initializing", "The instance is initializing.", 403)
        for one in ids:
            present[one].gone_at = self.clock.now() + self.delete_s
        return web.json_response({"RequestId": "r"})

    def _switch(self, asked: dict[str, str], *, stop: bool) -> web.StreamResponse:
        answers = []
        for one in self.present():
            if one.id not in _ids(asked):
                continue
            code = "200"
            if not stop and one.name in self.no_room_to_start:
                code = "OperationDenied.NoStock"
            elif stop:
                one.details["stopped_mode"] = asked["StoppedMode"]
            else:
                one.details["stopped_mode"] = ""
            answers.append({"InstanceId": one.id, "Code": code, "Message": code})
        return web.json_response({"RequestId": "r", "InstanceResponses": {"InstanceResponse": answers}})

    def _show(self, machine: CloudMachine) -> dict[str, Any]:
        number = int(machine.id[2:])
        tags = [{"TagKey": key, "TagValue": value} for key, value in machine.details["tags"].items()]
        locks = [{"LockReason": lock, "LockMsg": ""} for lock in machine.details.get("locks", ())]
        return {
            "InstanceId": machine.id,
            "InstanceName": "some",
            "HostName": machine.name,
            "InstanceType": machine.machine,
            "Status": self.status_of(machine),
            "StoppedMode": machine.details.get("stopped_mode") or "Not-applicable",
            "CreationTime": f"2026-01-01T00:{number // 60 % 60:02d}Z",
            "Tags": {"Tag": tags},
            "OperationLocks": {"LockReason": locks},
            "VpcAttributes": {"PrivateIpAddress": {"IpAddress": [f"10.8.{number // 250}.{number % 250}"]}},
            "PublicIpAddress": {"IpAddress": []},
            "EipAddress": {"IpAddress": ""},
        }


def refused(code: str, message: str, status: int) -> web.Response:
    """Return an error as ECS words it."""
    return web.json_response({"RequestId": "r", "HostId": "ecs", "Code": code, "Message": message}, status=status)


def _ids(asked: dict[str, str]) -> list[str]:
    return [asked[f"InstanceId.{n}"] for n in range(1, 101) if f"InstanceId.{n}" in asked]
