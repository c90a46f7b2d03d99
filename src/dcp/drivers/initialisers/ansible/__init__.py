"""Initialisation by Ansible: a role of ours, and the user's own beside it, on many hosts at once over SSH."""

from dcp.drivers.initialisers.ansible.initialiser import AnsibleInitialiser
from dcp.drivers.initialisers.ansible.playbook import AnsibleChoice

__all__ = ["AnsibleChoice", "AnsibleInitialiser"]
