"""An application under load on a virtual clock: scaled by dcp, or by a model of the Kubernetes autoscalers, alike."""
