# SPDX-License-Identifier: Apache-2.0
"""Archives that a Linux kernel unpacks as its initial file system (cpio, format "newc")."""

import gzip


class Archive:
    """Files, folders and links, in the order in which they are added."""

    def __init__(self):
        self._data = bytearray()
        self._folders = set()
        self._files = set()
        self._count = 0

    def _entry(self, path, mode, content=b"", device=(0, 0)):
        self._count += 1
        name = path.lstrip("/").encode() + b"\0"
        fields = (self._count, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(name), 0)
        self._data += b"070701" + b"".join(b"%08X" % field for field in fields) + name
        self._data += b"\0" * (-len(self._data) % 4)
        self._data += content
        self._data += b"\0" * (-len(self._data) % 4)

    def folder(self, path):
        path = path.strip("/")
        if not path or path in self._folders:
            return
        self.folder(path.rpartition("/")[0])
        self._folders.add(path)
        self._entry(path, 0o040755)

    def has(self, path):
        return path.strip("/") in self._files

    def file(self, path, content, executable=False):
        self._files.add(path.strip("/"))
        self.folder(path.rpartition("/")[0])
        content = content.encode() if isinstance(content, str) else content
        self._entry(path, 0o100755 if executable else 0o100644, content)

    def link(self, path, target):
        self.folder(path.rpartition("/")[0])
        self._entry(path, 0o120777, target.encode())

    def console(self):
        """/dev/console, which a kernel opens for its first process before anything is mounted."""
        self.folder("/dev")
        self._entry("/dev/console", 0o020600, device=(5, 1))

    def content(self):
        end = Archive()
        end._entry("TRAILER!!!", 0)
        return bytes(self._data + end._data)

    def compressed(self):
        return gzip.compress(self.content(), compresslevel=1, mtime=0)
