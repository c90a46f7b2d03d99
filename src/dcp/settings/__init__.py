"""The platform's own configuration: `dcp.yaml` at the door, frozen values inside."""
