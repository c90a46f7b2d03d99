"""What a machine is asked over SSH, and what its answers and the client's complaints mean. Pure but for the names."""

from dcp.hosts.adding.model import MachineLook, Reach

BEGIN, END = "dcp-look", "dcp-end"
SCRIPT = f"""
PATH=$PATH:/usr/sbin:/sbin:/usr/local/bin
echo {BEGIN}
echo "cpus=$(getconf _NPROCESSORS_ONLN)"
echo "memory_kib=$(sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo)"
. /etc/os-release 2>/dev/null
echo "system=$ID $VERSION_ID"
echo "like=$ID $ID_LIKE"
echo "boot=$(cat /proc/sys/kernel/random/boot_id)"
echo "network=$(readlink /proc/self/ns/net)"
sudo=; root=no
if [ "$(id -u)" = 0 ]; then root=yes
elif sudo -n true 2>/dev/null; then root=yes; sudo="sudo -n"; fi
echo "root=$root"
ask="$sudo timeout 5 docker -H unix:///run/docker.sock version --format {{{{.Server.Version}}}}"
echo "engine=$($ask 2>/dev/null)"
echo {END}
"""
"""Reads only; for any POSIX shell."""

REFUSED_KEY = "its sshd refuses user {user} with {key}"
_HINT_KEY = "put the public key into ~{user}/.ssh/authorized_keys there, or name another --key or --user"
_FAULTS = (
    # What the client says, what that means, and what to do. The first that fits counts.
    ("HOST IDENTIFICATION HAS CHANGED", "has another host key than before", "made anew? add it with --new-host-key"),
    ("UNPROTECTED PRIVATE KEY", "{key} can be read by others: SSH refuses it", "chmod 600"),
    ("bad permissions", "{key} can be read by others: SSH refuses it", "chmod 600"),
    ("error in libcrypto", "{key} is no private key that SSH can use without a passphrase", ""),
    ("invalid format", "{key} is no private key that SSH can use without a passphrase", ""),
    ("Permission denied", REFUSED_KEY, _HINT_KEY),
    ("Too many authentication failures", REFUSED_KEY, _HINT_KEY),
    ("Host key verification failed", "its host key is not known", "put it into known_hosts, or host_keys: accept-new"),
    ("Could not resolve", "there is no such name", "an address, or a name that the controller can resolve"),
    ("not available", "has no shell for {user}", "another --user"),
)


def look_of(text: str, user: str) -> MachineLook:
    """Return what the script printed; a fault where it did not run to its end or the machine cannot be used."""
    lines = text.splitlines()
    if BEGIN not in lines or END not in lines:
        last = next((line.strip() for line in reversed(lines) if line.strip()), "nothing")
        return MachineLook(fault=f"the shell of {user} says something else: {last[:200]}", hint="another --user")
    said = dict(line.partition("=")[::2] for line in lines[lines.index(BEGIN) + 1 : lines.index(END)])
    system = said["system"].strip() or "something without /etc/os-release"
    if not {"debian", "ubuntu"} & set(said["like"].split()):
        return MachineLook(fault=f"is {system}, neither Debian nor Ubuntu", hint="see docs/hosts.md")
    if said["root"] != "yes":
        hint = "add it as root, or let the user become root by sudo without a password"
        return MachineLook(fault=f"user {user} is not root and may not become it", hint=hint)
    try:
        cpus, memory_kib = int(said["cpus"]), int(said["memory_kib"])
    except ValueError:
        return MachineLook(fault="does not say its size", hint="")
    both = said["boot"] and said["network"]
    return MachineLook(
        cpu_millis=1000 * cpus,
        memory_bytes=memory_kib << 10,
        identity=f"{said['boot']} {said['network']}" if both else "",
        system=system,
        engine=said["engine"].strip(),
    )


def fault_of(said: str, reach: Reach) -> MachineLook:
    """Return what the client's complaint means."""
    key = f"key {reach.key}" if reach.key else "the keys that SSH finds"
    for words, fault, hint in _FAULTS:
        if words.lower() in said.lower():
            return MachineLook(fault=fault.format(user=reach.user, key=key), hint=hint.format(user=reach.user))
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return MachineLook(fault=f"cannot be reached: {lines[-1][:300] if lines else 'SSH said nothing'}")


def silent(reach: Reach, why: str) -> MachineLook:
    """Return that nobody answers at the port."""
    hint = "is it on, and may the controller reach that port?"
    return MachineLook(fault=f"does not answer at port {reach.port}: {why}", hint=hint)


def no_sshd(reach: Reach) -> MachineLook:
    """Return that something else than an sshd answers at the port."""
    return MachineLook(fault=f"what answers at port {reach.port} is no sshd", hint="another --port")
