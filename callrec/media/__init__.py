"""The media package."""
