"""The recorder package."""
