"""dcp as the token server of its sites' registries: who asks, what they may, the token; and what registries tell."""
