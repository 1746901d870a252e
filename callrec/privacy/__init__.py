"""How long, and at whose wish: erasing, and later retention and requests."""

from callrec.privacy.erasing import ErasedCall, Eraser, Reason, Step

__all__ = ["ErasedCall", "Eraser", "Reason", "Step"]
