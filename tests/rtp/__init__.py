"""Tests of RTP without I/O."""
