"""Tests of the media workers: real sockets, real worker processes."""
