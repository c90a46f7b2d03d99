"""Which of Libcloud's providers can be trusted to list every machine.

A listing that silently stops at a page makes hosts look lost and machines leak, so nothing is assumed: the listing of
each provider here was read in Libcloud 3.9. Others need the word of whoever configures them.
"""

COMPLETE = frozenset({"digitalocean", "linode", "vultr"})
"""Follow every page (Linode by its version 4, Vultr by its version 2, both the default)."""

INCOMPLETE = {
    "aliyun_ecs": "lists one page; use kind aliyun",
    "aurora_compute": "lists one page of CloudStack's",
    "azure_arm": "stops after 300 s and returns what it has by then",
    "cloudstack": "lists one page",
    "dummy": "gives its machines names of its own",
    "ec2": "lists one page; use kind ec2",
    "equinixmetal": "lists the first 1,000 machines",
    "eucalyptus": "lists one page",
    "exoscale": "lists one page of CloudStack's",
    "gce": "leaves out machines whose disk or image it cannot look up, and other zones where one is set",
    "ikoula": "lists one page of CloudStack's",
    "ktucloud": "lists one page of CloudStack's",
    "kubevirt": "leaves out namespaces that do not answer",
    "nimbus": "lists one page",
    "openstack": "has a driver of its own; use kind openstack",
    "outscale": "returns an error as if it were a listing",
    "rackspace": "lists one page",
}
"""Never used, whatever is configured."""


def provider_fault(name: str, *, trusted: bool) -> str:
    """Return what speaks against a provider; empty: its machines are known, or said, to be listed completely."""
    reason = INCOMPLETE.get(name) or ("lists one page; use kind ec2" if name.startswith("ec2_") else "")
    if reason:
        return f"provider {name} cannot be used: its driver in Libcloud {reason}"
    if name not in COMPLETE and not trusted:
        known = ", ".join(sorted(COMPLETE))
        return (
            f"it is not known whether Libcloud lists all machines of {name} (it does for {known}); "
            "listing_is_complete: true vouches for it"
        )
    return ""
