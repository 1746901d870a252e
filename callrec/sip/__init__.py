"""The sip package."""
