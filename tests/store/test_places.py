"""Where a store must not live."""

from pathlib import Path

import pytest

from batchai.errors import StoreError
from batchai.store.places import refuse_unsafe_folder, vanishes
from tests.store.books import open_store


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "9p", "virtiofs", "fuse.sshfs"])
def test_a_network_file_system_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "a share"
    (folder / "deep").mkdir(parents=True)
    mounts = tmp_path / "mounts"
    point = str(folder).replace(" ", "\\040")
    mounts.write_text(f"/dev/sda1 / ext4 rw 0 0\nserver:/x {point} {kind} rw 0 0\n")

    with pytest.raises(StoreError, match=rf"deep: is on a network file system \({kind}\)"):
        refuse_unsafe_folder(folder / "deep", mounts=mounts)
    refuse_unsafe_folder(tmp_path, mounts=mounts)


def test_a_local_disk_over_a_network_file_system_is_fine(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"server:/x {tmp_path} nfs rw 0 0\n/dev/sda1 {tmp_path} ext4 rw 0 0\n")

    refuse_unsafe_folder(tmp_path, mounts=mounts)
    refuse_unsafe_folder(tmp_path, mounts=tmp_path / "absent")


@pytest.mark.parametrize(
    "place",
    ["Dropbox", "Dropbox (Personal)/jobs", "OneDrive - Example Ltd", "Google Drive/a/b",
     "Library/Mobile Documents/com~apple~CloudDocs", "Library/CloudStorage/Box-Box", "Nextcloud"],
)  # fmt: skip
def test_the_folder_of_a_sync_service_is_refused_by_its_name(tmp_path: Path, place: str) -> None:
    with pytest.raises(StoreError, match="whose service copies a store while it is written"):
        open_store(tmp_path / place)
    assert not list(tmp_path.rglob(".batchai"))


@pytest.mark.parametrize("mark", [".dropbox", ".stfolder", ".nextcloudsync.log"])
def test_a_sync_service_is_known_by_what_it_leaves(tmp_path: Path, mark: str) -> None:
    (tmp_path / mark).touch()
    with pytest.raises(StoreError, match="keep the job file in a folder of this disk alone"):
        refuse_unsafe_folder(tmp_path / "jobs")


@pytest.mark.parametrize("name", ["dropboxes", "my-onedrive-study", "boxes", "nextcloudlike"])
def test_a_folder_of_a_like_name_is_fine(tmp_path: Path, name: str) -> None:
    refuse_unsafe_folder(tmp_path / name)


@pytest.mark.parametrize(
    "name", ["", "job.db", "job.db-wal", "job.db-shm", "job.lock", "job.spool"]
)
def test_nothing_is_written_through_a_link_that_came_with_a_job(tmp_path: Path, name: str) -> None:
    victim = tmp_path / "victim"
    folder = tmp_path / "job" / ".batchai"
    if name:
        victim.write_text("precious")
        folder.mkdir(parents=True)
    else:
        victim.mkdir()
        folder.parent.mkdir()
    link = folder / name
    link.symlink_to(victim)
    with pytest.raises(StoreError, match=r"is a link to .*victim"):
        open_store(tmp_path / "job")
    assert (victim.read_text() if name else list(victim.iterdir())) == ("precious" if name else [])


@pytest.mark.parametrize(
    ("mount", "words"),
    [
        ("overlay / overlay rw 0 0", "belongs to this container alone"),
        ("tmpfs /srv tmpfs rw 0 0", "is in memory"),
        ("overlay / overlay rw 0 0\n/dev/sda1 /srv ext4 rw 0 0", None),
        ("/dev/sda1 / ext4 rw 0 0", None),
    ],
    ids=["container", "memory", "volume of a container", "disk"],
)
def test_a_store_that_will_vanish_is_told(tmp_path: Path, mount: str, words: str | None) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"{mount}\n")
    why = vanishes(Path("/srv/jobs"), mounts=mounts)
    assert why is None if words is None else words in (why or "")
    assert vanishes(tmp_path, mounts=mounts) is None  # a temporary folder is no news
