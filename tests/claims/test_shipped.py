"""Claims files that come with ddbench, by name."""

from __future__ import annotations

import pytest

from ddbench.claims import load_claims
from ddbench.claims.shipped import claims_names, family_of, find_claims
from ddbench.errors import UnknownNameError


@pytest.mark.parametrize("name", claims_names())
def test_each_is_found_and_says_what_it_is_about(name):
    assert load_claims(find_claims(name)).claims
    assert family_of(name)


def test_a_file_of_the_same_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "speed").write_text("")
    assert find_claims("speed").read_text() == ""


def test_an_unknown_name_is_told_with_close_ones():
    with pytest.raises(UnknownNameError, match="did you mean minimax_paper"):
        find_claims("minimax_papr")
