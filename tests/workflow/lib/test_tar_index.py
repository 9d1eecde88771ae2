"""Members of an uncompressed tar that is odd or damaged; usual ones are in the tests of its users."""

import io
import tarfile

import pytest

from tests.helpers.files import ODD_SIZES, set_size
from trainer.utils.errors import InputError
from workflow.lib.tar_index import index_tar


@pytest.mark.timeout(20)  # a member that ends before it begins was once read again and again
@pytest.mark.parametrize("size", ODD_SIZES.values(), ids=ODD_SIZES)
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.GNUTYPE_SPARSE])
def test_odd_sizes_of_members_are_damage(tmp_path, size, kind):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for content in (b"1" * 600, b"2", b"3"):
            member = tarfile.TarInfo(content[:1].decode())
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    set_size(tmp_path / "a.tar", 1, size, kind)
    with pytest.raises(InputError, match=r"a\.tar: truncated or damaged at byte"):
        list(index_tar(tmp_path / "a.tar"))


@pytest.mark.timeout(20)
def test_headers_without_end_are_damage(tmp_path):
    """A long name of a long name of a long name ..."""
    long_name = tarfile.TarInfo("a")
    long_name.type, long_name.size = tarfile.GNUTYPE_LONGNAME, 512
    (tmp_path / "a.tar").write_bytes((long_name.tobuf() + bytes(512)) * 5000 + bytes(1024))
    with pytest.raises(InputError, match=r"a\.tar: truncated or damaged at byte 0"):
        list(index_tar(tmp_path / "a.tar"))
