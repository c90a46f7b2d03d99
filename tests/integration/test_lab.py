"""A lab of real engines: containers run on every host, reach each other, and survive what is done to their host."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest

from dcp.lab.lab import Lab
from lab_containers import container, engine, exec_in

pytestmark = [pytest.mark.docker, pytest.mark.xdist_group("docker")]
SERVE = "mkdir -p /w; hostname > /w/index.html; exec busybox httpd -f -p {port} -h /w"
FETCH = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 3 {address} {port} | tail -1"


async def fetch(address: str, port: int, limit_s: float = 3.0) -> str:
    """Return the page of one server, asked from this machine."""
    timeout = aiohttp.ClientTimeout(total=limit_s)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        for _ in range(100):
            with suppress(aiohttp.ClientConnectorError):
                async with session.get(f"http://{address}:{port}/") as response:
                    return (await response.text()).strip()
            await asyncio.sleep(0.02)
    raise AssertionError(f"{address}:{port} does not answer")


@asynccontextmanager
async def web(lab: Lab, host: str, **options) -> AsyncIterator[str]:
    async with container(lab, host, "lab/busybox", ["sh", "-c", SERVE.format(port=8080)], **options) as name:
        yield name


async def test_every_engine_answers_over_tls_and_has_a_containerd_of_its_own(lab: Lab):
    context = ssl.create_default_context(cafile=str(lab.client.ca))
    context.load_cert_chain(lab.client.cert, lab.client.key)
    names = []
    for host in lab.hosts:
        url = host.engine_tls.replace("tcp://", "https://")
        async with aiohttp.ClientSession() as session, session.get(f"{url}/info", ssl=context) as response:
            names.append((await response.json())["Name"])
    daemons = [lab.daemons(host.name) for host in lab.hosts]
    assert names == [host.namespace for host in lab.hosts]
    assert [sorted(found.values()) for found in daemons] == [["containerd", "dockerd"]] * 4
    assert len({pid for found in daemons for pid in found}) == 8


async def test_an_engine_refuses_who_has_no_certificate(lab: Lab):
    context = ssl.create_default_context(cafile=str(lab.client.ca))
    url = lab.host("h1").engine_tls.replace("tcp://", "https://")
    with pytest.raises((aiohttp.ClientError, ssl.SSLError)):
        async with aiohttp.ClientSession() as session, session.get(f"{url}/info", ssl=context) as response:
            await response.read()


async def test_containers_in_both_network_modes_are_reached_by_the_machine_and_by_every_host(lab: Lab):
    for network in ("host", "bridge"):
        async with (
            web(lab, "h1", network=network, publish=8080) as first,
            web(lab, "h4", network=network, publish=8080),
        ):
            near, far = lab.host("h1"), lab.host("h4")
            assert await fetch(far.address, 8080) and await fetch(near.address, 8080)
            said = await exec_in(lab, "h1", first, FETCH.format(address=far.address, port=8080))
            assert said.strip() == await fetch(far.address, 8080)


async def test_a_container_reaches_this_machine_and_a_container_on_the_other_hosts_own_bridge(lab: Lab):
    async with web(lab, "h1", network="bridge") as first, web(lab, "h2", network="bridge") as second:
        inside = (await engine(lab, "h2", "GET", f"/containers/{second}/json"))["NetworkSettings"]["IPAddress"]
        assert inside.startswith(lab.host("h2").bridge_subnet.rpartition(".")[0])
        assert (await exec_in(lab, "h1", first, FETCH.format(address=inside, port=8080))).strip()
        server = await asyncio.start_server(_greet, lab.topology.site("s1").gateway, 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            said = await exec_in(lab, "h1", first, f"nc -w 3 {lab.topology.site('s1').gateway} {port} < /dev/null")
        assert said.strip() == "controller"


async def test_a_host_has_its_own_hosts_file_and_the_machine_keeps_its_own(lab: Lab):
    name = lab.registry_name.partition(":")[0]
    for host, site in (("h1", "s1"), ("h3", "s2")):
        assert f"{lab.topology.site(site).registry_address} {name}" in await lab.run_on(host, "cat", "/etc/hosts")
    assert name not in Path("/etc/hosts").read_text()


async def test_the_registry_name_is_answered_by_the_sites_own_registry_over_trusted_tls(lab: Lab):
    repository = f"{lab.registry_name}/lab/busybox"
    await engine(lab, "h1", "POST", f"/images/lab/busybox/tag?repo={repository}&tag=one")
    await engine(lab, "h1", "POST", f"/images/{repository}/push?tag=one", headers={"X-Registry-Auth": "e30="})
    assert "Downloaded" in await engine(lab, "h2", "POST", f"/images/create?fromImage={repository}&tag=one", text=True)
    # The other site's registry has no copy: it is another one under the same name.
    missing = await engine(lab, "h3", "POST", f"/images/create?fromImage={repository}&tag=one", text=True)
    assert "not found" in missing
    for host in ("h1", "h2"):
        await engine(lab, host, "DELETE", f"/images/{repository}:one")


async def test_containers_outlive_their_engine_and_are_found_again(lab: Lab):
    async with web(lab, "h2", network="host") as name:
        page = await fetch(lab.host("h2").address, 8080)
        await lab.kill_engine("h2")
        assert not await lab.engine_answers("h2") and lab.daemons("h2") == {}
        assert await fetch(lab.host("h2").address, 8080) == page
        await lab.start_engine("h2")
        state = await engine(lab, "h2", "GET", f"/containers/{name}/json")
        assert state["State"]["Running"] and state["RestartCount"] == 0
        assert await fetch(lab.host("h2").address, 8080) == page


async def test_a_host_that_is_cut_off_goes_on_and_comes_back(lab: Lab):
    async with web(lab, "h3", network="host"):
        address = lab.host("h3").address
        page = await fetch(address, 8080)
        await lab.cut("h3")
        try:
            with pytest.raises((aiohttp.ClientError, TimeoutError, AssertionError)):
                await fetch(address, 8080, limit_s=0.5)
            assert await lab.engine_answers("h3")
        finally:
            await lab.mend("h3")
        assert await fetch(address, 8080) == page


async def test_the_line_between_sites_is_as_fast_as_it_was_made_and_counts_what_crosses_it(lab: Lab):
    await lab.shape_line("s2", 80)
    try:
        before = await lab.line_bytes("s2")
        across_s = await _send(lab, "h1", "h3", 4_000_000)
        crossed = await lab.line_bytes("s2") - before
        within_s = await _send(lab, "h1", "h2", 4_000_000)
        await lab.shape_line("s2", 20)
        slower_s = await _send(lab, "h1", "h3", 4_000_000)
    finally:
        await lab.shape_line("s2", None)
    # 4 MB at 80 Mbit/s take 0.4 s, at 20 Mbit/s 1.6 s; a burst is free.
    assert 2.5 < slower_s / across_s < 5.5
    assert within_s < across_s
    assert 4_000_000 < crossed < 4_800_000


async def test_a_hosts_link_is_bounded_in_both_directions(lab: Lab):
    await lab.shape_host("h2", 40)
    try:
        towards_s = await _send(lab, "h1", "h2", 2_000_000)
        from_s = await _send(lab, "h2", "h1", 2_000_000)
    finally:
        await lab.shape_host("h2", None)
    free_s = await _send(lab, "h1", "h2", 2_000_000)
    assert towards_s > 0.3 and from_s > 0.3
    assert free_s < min(towards_s, from_s)


async def _send(lab: Lab, sender: str, receiver: str, size: int) -> float:
    """Send `size` bytes from one host to the other; return the seconds from connection to the last byte."""
    address = lab.host(receiver).address
    serve = (
        "import socket,time,sys; s=socket.create_server(('0.0.0.0',9100)); c,_=s.accept(); t=time.monotonic(); n=0\n"
        f"while n<{size}: n+=len(c.recv(1<<16))\n"
        "print(time.monotonic()-t)"
    )
    send = (
        "import socket,time\n"
        "for _ in range(200):\n"
        f"  try: c=socket.create_connection(('{address}',9100)); break\n"
        "  except OSError: time.sleep(0.02)\n"
        f"c.sendall(bytes({size})); c.shutdown(1); c.recv(1)"
    )
    listening = asyncio.create_task(lab.run_on(receiver, "python3", "-c", serve, limit_s=20))
    await asyncio.gather(lab.run_on(sender, "python3", "-c", send, limit_s=20), listening)
    return float(listening.result())


async def _greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"controller\n")
    await writer.drain()
    writer.close()
