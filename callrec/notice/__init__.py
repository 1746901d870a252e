"""Recording notices and prompts: wording and audio in immutable versions, verified whenever they are loaded."""

from callrec.notice.library import NoticeAsset, NoticeLibrary

__all__ = ["NoticeAsset", "NoticeLibrary"]
