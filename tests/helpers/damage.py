"""Ways in which a file is damaged."""

import shutil


def empty(path):
    path.write_bytes(b"")


def truncate(path):
    """Cut the second half off, within a line."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2].rstrip())


def make_folder(path):
    path.unlink()
    path.mkdir()


def write_utf16(path):
    """Save text in another encoding, as some editors do."""
    path.write_text(path.read_bytes().decode("latin-1"), "utf-16")


def write_noise(path):
    path.write_bytes(bytes(range(256)) * 4 + b"\n")


DAMAGES = [empty, truncate, make_folder, write_utf16, write_noise]


def repair(path, content):
    """Give a damaged file its content back."""
    if path.is_dir():
        shutil.rmtree(path)
    path.write_bytes(content)
