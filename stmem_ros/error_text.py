"""What an error says, as one line for people."""

from __future__ import annotations


def error_text(error: BaseException, longest: int | None = None) -> str:
    """The text of an error as one line without a full stop.

    Of the system's errors it is the file first, and no numbers; of an error that says nothing, its
    type.

    Args:
        longest: characters, of what other libraries tell at length.
    """
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split())[:longest].rstrip(".") or type(error).__name__
