"""What a file is, where it is not what its name says: downloads that failed, pointers, archives."""

from __future__ import annotations

from pathlib import Path

START = 512  # bytes that tell
_MAGIC = (
    (b"\x89HDF", "is HDF5 (Keras)"),
    (b"\x93NUMPY", "is a numpy array"),
    (b"\x08\x07\x12", "is an ONNX graph"),
    (b"\x1f\x8b", "is compressed by gzip: unpack it"),
    (b"7z\xbc\xaf", "is a 7z archive: unpack it"),
    (b"Rar!", "is a RAR archive: unpack it"),
    (b"\xff\x0a", "is a JPEG XL image: convert it to JPEG or PNG"),
)
_ZIP = b"PK\x03\x04"
_IN_TORCH = b"data.pkl"  # begins what torch.save writes, which is a ZIP archive too


def what_it_is(path: Path) -> str:
    """What a file is that holds nothing usable, as a verb and what to do; empty: not known.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return kind_of(file.read(START))


def why_unreadable(path: Path, error: Exception) -> str:
    """One line on a file that a library could not read: what it is, else the library's words."""
    try:
        kind = what_it_is(path)
    except OSError:
        kind = ""
    if kind:
        return f"{path} {kind}"
    reason = getattr(error, "strerror", None) or str(error)
    return f"{path} cannot be read: {' '.join(reason.split())}"


def kind_of(start: bytes) -> str:
    """The same, from the first bytes of a file."""
    text = start[:START].lstrip().lower()
    if not start:
        return "is empty"
    if start.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS, not the file itself: fetch it with `git lfs pull`"
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "is a web page, as a download gives that asks to sign in: download the file itself"
    if text.startswith((b"{", b"[")):
        return "is JSON, as a download gives that failed: download the file itself"
    if start.startswith(_ZIP) and _IN_TORCH not in start[:START]:
        of_numpy = b".npy" in start[:START]
        return "is an archive of numpy arrays" if of_numpy else "is a ZIP archive: unpack it"
    if start[4:8] == b"ftyp":  # the family of MP4
        if start[8:12] in (b"heic", b"heix", b"mif1", b"avif"):
            return "is a HEIC or AVIF image: convert it to JPEG or PNG"
        return "is a video: `stmem bag create BAG --video FILE` makes a bag of it"
    return next((kind for magic, kind in _MAGIC if start.startswith(magic)), "")
