"""Optional packages are asked for by name, and their absence says what to install."""

import math

import pytest

from mcdrop.errors import MissingExtraError
from mcdrop.extras import require


def test_an_installed_module_is_returned() -> None:
    assert require("math", extra="numbers") is math


def test_a_missing_module_says_which_extra_to_install() -> None:
    with pytest.raises(MissingExtraError, match=r"no_such_package is needed .* pip install 'mcdrop\[some\]'"):
        require("no_such_package.part", extra="some")


def test_a_missing_extra_is_also_an_import_error() -> None:
    with pytest.raises(ImportError):
        require("no_such_package", extra="some")
