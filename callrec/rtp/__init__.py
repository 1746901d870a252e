"""The rtp package."""
