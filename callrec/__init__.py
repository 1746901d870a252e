"""callrec: the call recorder a telephone company can put in front of its PBX and defend before a regulator."""

__version__ = "0.1.0"
