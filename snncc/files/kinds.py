"""Whether a name leads to a file at all: opening a pipe, say, would wait for ever."""

from __future__ import annotations

import stat
from pathlib import Path

MISSING, DANGLING = "does not exist", "is a link to nothing"
_KINDS = {
    stat.S_IFDIR: "is a folder, not a file",
    stat.S_IFIFO: "is a named pipe, not a file",
    stat.S_IFSOCK: "is a socket, not a file",
    stat.S_IFCHR: "is a device, not a file",
    stat.S_IFBLK: "is a device, not a file",
}


def kind_of(path: Path) -> str:
    """Return what is wrong with a name, as the rest of a sentence; nothing for a file.

    Links are followed. Nothing is opened. Whether the file may be read is not looked at.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return DANGLING if path.is_symlink() else MISSING
    except (OSError, ValueError) as error:
        return f"leads nowhere: {getattr(error, 'strerror', None) or error}"
    return _KINDS.get(stat.S_IFMT(mode), "" if stat.S_ISREG(mode) else "is no file")
