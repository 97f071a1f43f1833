"""Accounts, sign-in, sessions, tokens and bots."""
