"""Pack ``client_code/`` as the ``source.tar.gz`` that travels to a client's bucket: same content, same bytes."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

CLIENT_CODE = Path(__file__).resolve().parents[1] / "client_code"


def source_archive(folder: Path = CLIENT_CODE) -> bytes:
    """Return a gzipped tar of the folder's ``.py`` and ``.txt`` files, sorted, without times, owners or modes.

    ``__init__.py`` stays at home: in a job the modules stand at the top level.
    """
    archive = io.BytesIO()
    # mtime=0 and an empty file name: gzip would otherwise write the hour into its header.
    with gzip.GzipFile(filename="", fileobj=archive, mode="wb", mtime=0) as compressed:
        with tarfile.open(fileobj=compressed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for path in sorted(folder.iterdir()):
                if path.suffix in (".py", ".txt") and path.name != "__init__.py":
                    content = path.read_bytes()
                    member = tarfile.TarInfo(path.name)
                    member.size, member.mode = len(content), 0o644
                    tar.addfile(member, io.BytesIO(content))
    return archive.getvalue()
