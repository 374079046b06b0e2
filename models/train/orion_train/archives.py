# SPDX-License-Identifier: MPL-2.0
"""The archives of training pictures."""

import tarfile
from collections.abc import Iterator
from pathlib import Path


def members(data: Path, wanted: set[str]) -> Iterator[tuple[str, bytes]]:
    """Name and contents of the wanted files in `data`/images_*.tar, in the archives' order.

    Raises:
        FileNotFoundError: there is no archive.
    """
    archives = sorted(data.glob("images_*.tar"))
    if not archives:
        raise FileNotFoundError(f"no images_*.tar in {data}")
    for archive in archives:
        with tarfile.open(archive) as tar:
            for member in tar:
                name = Path(member.name).name
                if name in wanted and (stream := tar.extractfile(member)) is not None:
                    yield name, stream.read()
