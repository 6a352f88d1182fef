"""Where a store must not live, or should not, and what it must not be written through.

The write-ahead log needs shared memory between processes: over a network file system it can corrupt
without an error (https://www.sqlite.org/wal.html, "all processes must be on the same host
computer"). A service that copies files while they are written does the same to a store.
"""

import re
import tempfile
from pathlib import Path

from batchai.errors import StoreError

_NETWORK = r"9p|afs|beegfs|ceph|cifs|davfs|gluster|lustre|nfs|prl_fs|smb|vboxsf|virtiofs"
_UNSAFE = re.compile(rf"{_NETWORK}|fuse\.(davfs|gcsfuse|gluster|rclone|s3fs|sshfs|vmhgfs)")
_MOUNTS = Path("/proc/self/mounts")
_OCTAL = re.compile(r"\\([0-7]{3})")  # how the table of mounts writes a space

# how the folders of sync services are named, with what may follow: "OneDrive - Company"
_SYNCED = re.compile(
    r"(dropbox|onedrive|google ?drive|icloud ?drive|nextcloud|owncloud|pcloud ?drive|megasync)"
    r"([ (\-].*)?|mobile documents|cloudstorage",
    re.IGNORECASE,
)
_MARKS = (".dropbox", ".dropbox.cache", ".stfolder", ".nextcloudsync.log", ".owncloudsync.log")

_IN_MEMORY = {"tmpfs", "ramfs"}
_OF_CONTAINERS = {"overlay", "aufs"}


def refuse_unsafe_folder(folder: Path, *, mounts: Path = _MOUNTS) -> None:
    """Raise StoreError where a store would be damaged: network file systems, sync services.

    mounts: the system's table of them.
    """
    real = folder.resolve()
    kind, _ = _mount_of(real, mounts)
    if _UNSAFE.match(kind):
        raise StoreError(
            f"{folder}: is on a network file system ({kind}), where a store can corrupt without an "
            "error; keep the job file on a local disk"
        )
    if (service := _sync_service(real)) is not None:
        raise StoreError(
            f"{folder}: lies in {service}, whose service copies a store while it is written and "
            "so damages it; keep the job file in a folder of this disk alone"
        )


def refuse_links(*paths: Path) -> None:
    """Raise StoreError where one of these is a link: a job that came with it would write elsewhere,
    over whatever is there.
    """
    for path in paths:
        if path.is_symlink():
            raise StoreError(
                f"{path}: is a link to {path.readlink()}, and what is stored of a job lies in a "
                "folder of its own; remove the link"
            )


def vanishes(folder: Path, *, mounts: Path = _MOUNTS) -> str | None:
    """Why a store in the folder will not outlast the machine or the container; None if it will.

    A temporary folder is no news to who uses it.
    """
    if folder.resolve().is_relative_to(Path(tempfile.gettempdir()).resolve()):
        return None
    kind, point = _mount_of(folder.resolve(), mounts)
    if kind in _IN_MEMORY:
        return f"{folder} is in memory ({kind}): what was paid for is lost when the machine stops"
    if kind in _OF_CONTAINERS and point == Path("/"):
        return (
            f"{folder} belongs to this container alone: what was paid for is lost when it is "
            "removed; mount a volume there"
        )
    return None


def _sync_service(folder: Path) -> Path | None:
    """The folder of a sync service that holds `folder`, by its name or by what the service left."""
    for place in (folder, *folder.parents):
        if _SYNCED.fullmatch(place.name) or any((place / mark).exists() for mark in _MARKS):
            return place
    return None


def _mount_of(folder: Path, mounts: Path) -> tuple[str, Path]:
    """Type and place of the mount that holds `folder`; "" where the system does not tell."""
    try:
        lines = mounts.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return "", Path("/")
    best, kind = Path(), ""
    for line in lines:
        _, mount, found, *_ = line.split(" ")
        point = Path(_OCTAL.sub(lambda octal: chr(int(octal[1], 8)), mount))
        # of two at one place, the later one lies over the other
        if len(point.parts) >= len(best.parts) and folder.is_relative_to(point):
            best, kind = point, found
    return kind, best
