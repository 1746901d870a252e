"""The catalogue package."""
