"""Layer 2: hosts from sources in order (private first, cloud last), their life cycle and their cost."""
