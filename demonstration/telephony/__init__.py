"""A small telephone line, written apart from callrec: the stand-in PBX and the end-to-end tests speak through it.

It shares no code with the product on purpose, so that one mistake cannot hide on both sides.
"""
