"""A bundle of code is unpacked only when it is one."""

import gzip
import io
import os
import tarfile

import pytest

from embedded_aws.jobs import archive


def packed(path, *members, mode="w:gz"):
    with tarfile.open(path, mode) as tar:
        for member, content in members:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def member(name, kind=tarfile.REGTYPE, **attributes):
    info = tarfile.TarInfo(name)
    info.type = kind
    for attribute, value in attributes.items():
        setattr(info, attribute, value)
    return info


def test_files_and_folders_are_unpacked(tmp_path):
    source = packed(
        tmp_path / "a.tar.gz", (member("train.py"), b"1"), (member("wheels", tarfile.DIRTYPE, mode=0o755), b"")
    )
    archive.unpack(source, tmp_path / "code")
    assert (tmp_path / "code" / "train.py").read_bytes() == b"1"
    assert (tmp_path / "code" / "wheels").is_dir()


@pytest.mark.parametrize(
    ("hostile", "reason"),
    [
        (member("../outside"), "points out"),
        (member("a/../../outside"), "points out"),
        (member("..\\outside"), "points out"),
        (member("/tmp/outside-of-the-folder"), "points out"),
        (member("link", tarfile.SYMTYPE, linkname="/etc"), "symbolic link"),
        (member("link", tarfile.SYMTYPE, linkname="train.py"), "symbolic link"),
        (member("link", tarfile.LNKTYPE, linkname="train.py"), "hard link"),
        (member("device", tarfile.CHRTYPE), "device"),
        (member("device", tarfile.BLKTYPE), "device"),
        (member("pipe", tarfile.FIFOTYPE), "named pipe"),
        (member("strange", b"Z"), "not a plain file"),
    ],
)
@pytest.mark.promise(
    "A-03", "Archives with links, devices, absolute or climbing names leave nothing outside their folder"
)
def test_a_hostile_member_leaves_nothing(tmp_path, hostile, reason):
    source = packed(tmp_path / "a.tar.gz", (member("train.py"), b"1"), (hostile, b""))
    before = sorted(path for path in tmp_path.rglob("*"))
    with pytest.raises(archive.ArchiveError, match=reason):
        archive.unpack(source, tmp_path / "code")
    assert list((tmp_path / "code").iterdir()) == []
    assert sorted(path for path in tmp_path.rglob("*")) == sorted([*before, tmp_path / "code"])


def test_set_user_id_is_taken_off(tmp_path):
    source = packed(tmp_path / "a.tar.gz", (member("train.py", mode=0o6755), b"1"))
    archive.unpack(source, tmp_path / "code")
    assert (tmp_path / "code" / "train.py").stat().st_mode & 0o6000 == 0


@pytest.mark.promise("A-03", "A bomb is refused before it fills the disk")
def test_a_bomb_is_refused_before_it_fills_the_disk(tmp_path):
    # 60 MB of zeros pack into 60 kB: the limit is 10 MB.
    source = packed(tmp_path / "a.tar.gz", (member("zeros"), bytes(60_000_000)))
    with pytest.raises(archive.ArchiveError, match="100 times its size"):
        archive.unpack(source, tmp_path / "code")
    assert list((tmp_path / "code").iterdir()) == []


def test_a_bomb_in_a_header_is_refused(tmp_path):
    # A GNU long name is read into memory before any member is seen.
    header = member("././@LongLink", tarfile.GNUTYPE_LONGNAME, size=60_000_000)
    with gzip.open(tmp_path / "a.tar.gz", "wb") as stream:
        stream.write(header.tobuf(tarfile.GNU_FORMAT) + bytes(60_000_000))
    with pytest.raises(archive.ArchiveError, match="100 times its size"):
        archive.unpack(tmp_path / "a.tar.gz", tmp_path / "code")


def test_more_than_500_mb_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_BYTES", 5_000_000)
    source = packed(tmp_path / "a.tar.gz", (member("noise"), os.urandom(4_000_000)), (member("more"), bytes(3_000_000)))
    with pytest.raises(archive.ArchiveError, match="more than 5 MB"):
        archive.unpack(source, tmp_path / "code")


def test_more_than_5000_members_are_refused(tmp_path):
    source = packed(tmp_path / "a.tar.gz", *[(member(f"f{number}"), b"") for number in range(5_001)])
    with pytest.raises(archive.ArchiveError, match="more than 5000 members"):
        archive.unpack(source, tmp_path / "code")


def test_a_wheelhouse_passes(tmp_path):
    # Wheels are compressed already; 70 MB is what flwr and its dependencies weigh.
    wheel = os.urandom(1 << 20)
    source = packed(tmp_path / "a.tar.gz", *[(member(f"wheels/{number}.whl"), wheel) for number in range(70)])
    archive.unpack(source, tmp_path / "code")
    assert len(list((tmp_path / "code" / "wheels").iterdir())) == 70


@pytest.mark.parametrize("content", [b"", b"not an archive", gzip.compress(b"x" * 2000, mtime=0)])
def test_what_is_not_an_archive_is_refused(tmp_path, content):
    (tmp_path / "a.tar.gz").write_bytes(content)
    with pytest.raises(archive.ArchiveError, match=r"damaged or not a tar\.gz"):
        archive.unpack(tmp_path / "a.tar.gz", tmp_path / "code")


def test_half_an_archive_is_refused(tmp_path):
    source = packed(tmp_path / "a.tar.gz", (member("noise"), os.urandom(100_000)))
    source.write_bytes(source.read_bytes()[:50_000])
    with pytest.raises(archive.ArchiveError, match="damaged"):
        archive.unpack(source, tmp_path / "code")
    assert list((tmp_path / "code").iterdir()) == []
