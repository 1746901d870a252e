"""Decisions about a call, without I/O: inputs in, a list of commands out."""
