"""Say in words why a file that should be a video could not be opened."""

import os
import struct

_PLAYLISTS = (b"#EXTM3U", b"ffconcat", b"[playlist]", b"<?xml", b"<MPD", b"<ASX", b"<asx")


def explain(path: str) -> str:
    """What is wrong with the file as far as its first bytes tell, or "".

    Args:
      path: absolute path.
    """
    try:
        size = os.path.getsize(path)
        with open(path, "rb") as file:
            head = file.read(4096)
            if not size:
                return "it is empty: 0 bytes"
            if head[4:8] == b"ftyp":
                return _explain_mp4(file, size)
            if head[:4] == b"RIFF" and size < (end := 8 + int.from_bytes(head[4:8], "little")):
                return f"it is cut short: it should have {end:,} bytes"
    except FileNotFoundError:
        return "no such file"
    except OSError as error:
        return error.strerror or ""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith(_PLAYLISTS):
        return "it is a playlist, which points at other files"
    if text and not any(byte < 9 or 13 < byte < 32 for byte in head):
        return "it is a text file"
    if not head.strip(b"\0"):
        return "it holds only zeros"
    return ""


def _explain_mp4(file, size: int) -> str:
    """Goes through the boxes of an MP4: its index may lie at the end, and be cut off."""
    position, found = 0, set()
    while position + 8 <= size:
        file.seek(position)
        header = file.read(16)
        length, kind = struct.unpack(">I4s", header[:8])
        if length == 1 and len(header) == 16:
            length = struct.unpack(">Q", header[8:])[0]
        found.add(kind)
        if length == 0:
            length = size - position  # the box reaches to the end of the file
        if length < 8 or position + length > size:
            return f"it is cut short: a part of it should end at byte {position + length:,}"
        position += length
    return "" if b"moov" in found else "it is cut short: its index (moov) is missing"
