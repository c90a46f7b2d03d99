"""A lab: real container hosts on one Linux machine, for tests, demonstrations and people who want to try."""
