"""How many instances of every service, on which hosts: the capacity plan of a whole application."""
