"""A lab of real engines: made, used, broken, mended."""

import ssl

import aiohttp
import pytest

from dcp.lab.lab import Lab

pytestmark = [pytest.mark.docker, pytest.mark.xdist_group("docker")]


async def _version(lab: Lab, host: str) -> int:
    context = ssl.create_default_context(cafile=str(lab.client.ca))
    context.load_cert_chain(lab.client.cert, lab.client.key)
    url = lab.host(host).engine_tls.replace("tcp://", "https://")
    async with aiohttp.ClientSession() as session, session.get(f"{url}/version", ssl=context) as response:
        return response.status


async def test_every_engine_answers_over_tls_and_has_a_containerd_of_its_own(lab: Lab):
    daemons = [lab.daemons(host.name) for host in lab.hosts]
    assert [await _version(lab, host.name) for host in lab.hosts] == [200] * 4
    assert [sorted(found.values()) for found in daemons] == [["containerd", "dockerd"]] * 4
    assert len({pid for found in daemons for pid in found}) == 8
