"""The signalling package."""
