"""The sdp package."""
