"""Tests of folders that hold code: made for one user, and not used where others may have written."""

import os

import pytest

from ddbench.errors import BadInputError
from ddbench.host.private_folder import check_own_file, make_private_folder


def mode_of(path):
    return path.stat().st_mode & 0o777


def test_it_is_made_for_one_user_with_its_parents(tmp_path):
    old = os.umask(0)
    try:
        make_private_folder(tmp_path / "cache" / "native")
    finally:
        os.umask(old)
    assert mode_of(tmp_path / "cache" / "native") == 0o700


def test_one_that_others_could_only_read_is_closed(tmp_path):
    (tmp_path / "native").mkdir(mode=0o755)
    make_private_folder(tmp_path / "native")
    assert mode_of(tmp_path / "native") == 0o700


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o722])
def test_one_that_others_may_write_is_not_used(tmp_path, mode):
    (tmp_path / "native").mkdir()
    (tmp_path / "native").chmod(mode)
    with pytest.raises(BadInputError, match="is not used, because it holds code and it may be written by others"):
        make_private_folder(tmp_path / "native")
    assert mode_of(tmp_path / "native") == mode


def test_a_link_is_not_used(tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "native").symlink_to("elsewhere")
    with pytest.raises(BadInputError, match="it is a link"):
        make_private_folder(tmp_path / "native")
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(BadInputError, match="it is a link"):
        make_private_folder(tmp_path / "dangling")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_somebody_elses_is_not_used(tmp_path):
    (tmp_path / "native").mkdir(mode=0o700)
    os.chown(tmp_path / "native", 65534, 65534)
    with pytest.raises(BadInputError, match="another user's"):
        make_private_folder(tmp_path / "native")
    (tmp_path / "code.so").touch(mode=0o600)
    os.chown(tmp_path / "code.so", 65534, 65534)
    with pytest.raises(BadInputError, match=r"code\.so is not run, because it is another user's"):
        check_own_file(tmp_path / "code.so")


def test_a_place_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BadInputError, match="cannot write to folder"):
        make_private_folder(tmp_path / "file" / "native")


def test_a_file_of_code_is_ones_own(tmp_path):
    check_own_file(tmp_path / "missing.so")
    (tmp_path / "code.so").touch()
    (tmp_path / "code.so").chmod(0o755)
    check_own_file(tmp_path / "code.so")
    (tmp_path / "code.so").chmod(0o757)
    with pytest.raises(BadInputError, match="may be written by others"):
        check_own_file(tmp_path / "code.so")
    (tmp_path / "link.so").symlink_to("code.so")
    with pytest.raises(BadInputError, match="is a link"):
        check_own_file(tmp_path / "link.so")
