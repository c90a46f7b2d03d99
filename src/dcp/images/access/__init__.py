"""Who may do what with which images: accounts, projects and roles, robots, scopes of tokens, signing keys; pure."""
