"""What machines and the SSH client say, and with which key and known hosts the client is started."""

import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from dcp.drivers.runtimes.docker.forwarding import ssh_command
from dcp.drivers.ssh import SshAccess
from dcp.drivers.ssh.answers import SCRIPT, fault_of, look_of
from dcp.hosts.adding.model import Reach

SAID = """motd of the day
dcp-look
cpus=8
memory_kib=16000000
system=ubuntu 24.04
like=ubuntu debian
boot=b-1
network=net:[42]
root=yes
engine=27.1
dcp-end
"""


def test_the_answers_of_a_machine():
    look = look_of(SAID, "root")
    assert (look.cpu_millis, look.memory_bytes, look.system) == (8000, 16000000 << 10, "ubuntu 24.04")
    assert (look.identity, look.engine, look.fault) == ("b-1 net:[42]", "27.1", "")
    assert look_of(SAID.replace("b-1", ""), "root").identity == ""


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (SAID.replace("ubuntu debian", "fedora"), "neither Debian nor Ubuntu"),
        (SAID.replace("root=yes", "root=no"), "is not root and may not become it"),
        (SAID.replace("cpus=8", "cpus="), "does not say its size"),
        ("This account is currently not available.\n", "says something else: This account is currently"),
        (SAID.replace("dcp-end", ""), "says something else"),
        ("", "says something else: nothing"),
    ],
)
def test_machines_that_cannot_be_used(said: str, words: str):
    assert words in look_of(said, "ops").fault


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("root@m1: Permission denied (publickey).", "refuses user ops with key racks"),
        ("@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.", "another host key"),
        ("No ED25519 host key is known for m1\nHost key verification failed.", "its host key is not known"),
        (
            "Permissions 0644 for 'k' are too open.\nWARNING: UNPROTECTED PRIVATE KEY FILE!\nPermission denied",
            "by others",
        ),
        ('Load key "k": error in libcrypto\nroot@m1: Permission denied', "is no private key that SSH can use"),
        ("ssh: Could not resolve hostname m1: Name or service not known", "no such name"),
        ("kex_exchange_identification: Connection closed by remote host", "kex_exchange_identification"),
        ("", "SSH said nothing"),
    ],
)
def test_complaints_of_the_client(said: str, words: str):
    assert words in fault_of(said, Reach("m1", "ops", 22, "racks")).fault


def test_the_script_is_understood_by_this_machines_shell():
    done = subprocess.run(["sh", "-s"], input=SCRIPT, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0 and done.stderr == ""
    look = look_of(done.stdout, "root")
    assert look.fault or (look.cpu_millis > 0 and look.memory_bytes > 1 << 20 and look.identity)


def test_a_key_is_named_or_its_file_is():
    access = SshAccess({"racks": "/etc/dcp/racks"}, Path("/state/known hosts"))
    assert access.identity("racks") == ("-i", "/etc/dcp/racks", "-o", "IdentitiesOnly=yes")
    assert access.identity("/k")[1] == "/k" and access.identity("") == ()
    url = urlsplit("ssh://ops@h1:2222?key=racks")
    line = " ".join(ssh_command(url, Path("/s/x.sock"), access.engine_options(url)))
    assert '"~/.ssh/known_hosts" "~/.ssh/known_hosts2" "/state/known hosts"' in line
    assert "-i /etc/dcp/racks" in line and line.endswith("-L /s/x.sock:/run/docker.sock ops@h1 cat")
    assert SshAccess().engine_options(urlsplit("ssh://h1")) == ()
