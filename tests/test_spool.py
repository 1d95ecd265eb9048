"""Files of forms, in memory and on disk."""

import os

import pytest

from toolserver.spool import Spool


def test_a_file_on_disk_is_read_until_it_is_closed():
    spool = Spool(memory=2)
    files = []
    for content in (b"a", b"long", b"longer"):
        spool.write(content)
        files.append(spool.finish())
    assert [file.read() for file in files] == [b"a", b"long", b"longer"]
    raw = files[1].detach()
    raw.seek(-2, os.SEEK_END)
    assert raw.read() == b"ng"
    raw.close()
    with pytest.raises(ValueError, match="read of a closed file"):
        raw.read(1)
    # The others are in the same file.
    files[2].seek(0)
    assert files[2].read() == b"longer"
