"""What makes bare hosts ready: Ansible, and a fake."""
