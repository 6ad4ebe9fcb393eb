"""Owners: the commands and checks with which each account's owner works alone."""
