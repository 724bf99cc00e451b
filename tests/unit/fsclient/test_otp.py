from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path

import pyotp
import pytest

from fsclient.session.otp import CodeSource
from fsclient.ui import Ui
from fsproto.errors import FsError, LoginRefused, LoginRequired, NotFoundError, UsageError

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
URI = f"otpauth://totp/fsd:alice?secret={SECRET}&issuer=fsd&period=60&digits=8&algorithm=SHA256"


def first(source: CodeSource) -> str:
    with contextlib.closing(source.codes(Ui())) as codes:  # type: ignore[type-var]
        return next(codes)


def around(otp: pyotp.TOTP, before: float) -> set[str]:
    """Return the codes of the time steps of `before` and of now."""
    return {otp.at(int(before)), otp.at(int(time.time()))}


@pytest.mark.parametrize(
    "given", ["123456", "1234567", "12345678", "123 456", "12-34-56", "١٢٣٤٥٦"]
)
def test_a_code_that_was_given_is_given_on_as_it_is(given):
    assert list(CodeSource(given, None).codes(Ui())) == [given]


@pytest.mark.parametrize("given", ["", "abc", "12345", "123456789", "12345x"])
def test_an_impossible_code_is_refused_at_once(given):
    with pytest.raises(UsageError, match="6 to 8 digits"):
        first(CodeSource(given, None))


def test_a_code_that_was_given_works_once(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)  # no terminal to ask on
    source = CodeSource("123456", None)
    assert list(source.codes(Ui())) == ["123456"]
    with pytest.raises(LoginRefused):
        source.refused(Ui(), LoginRefused())
    with pytest.raises(LoginRequired, match="no terminal"):
        first(source)


@pytest.mark.parametrize(
    "content",
    [
        SECRET,
        f"{SECRET}\n",
        SECRET.lower(),
        f"{SECRET[:4]} {SECRET[4:16]}\t{SECRET[16:]}",
    ],
)
def test_a_bare_secret_gives_the_code_of_now(tmp_path, content):
    (tmp_path / "secret").write_text(content)
    before = time.time()
    assert first(CodeSource(None, tmp_path / "secret")) in around(pyotp.TOTP(SECRET), before)


def test_a_uri_says_how_codes_are_made(tmp_path):
    (tmp_path / "secret").write_text(f"{URI}\n")
    otp = pyotp.parse_uri(URI)
    assert isinstance(otp, pyotp.TOTP)
    before = time.time()
    code = first(CodeSource(None, tmp_path / "secret"))
    assert code in around(otp, before)
    assert len(code) == 8


@pytest.mark.parametrize(
    "uri",
    [
        f"otpauth://totp/Work:alice?secret={SECRET}&issuer=fsd",
        f"otpauth://totp/My%20Work%3Aalice?issuer=fsd&secret={SECRET.lower()}",
        f"OTPAUTH://TOTP/alice?issuer=a%26b&digits=6&period=30&secret={SECRET}",
        f"otpauth://totp/fsd: alice?secret={SECRET}%3D%3D&image=https%3A%2F%2Fx",
    ],
)
def test_the_label_of_a_uri_has_no_part_in_its_codes(tmp_path, uri):
    (tmp_path / "secret").write_text(uri)
    before = time.time()
    assert first(CodeSource(None, tmp_path / "secret")) in around(pyotp.TOTP(SECRET), before)


def test_after_a_first_refusal_there_is_one_more_code(tmp_path):
    (tmp_path / "secret").write_text(SECRET)
    source = CodeSource(None, tmp_path / "secret")
    first(source)
    source.refused(Ui(), LoginRefused())  # waits for the next code and does not raise


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o644, True), (0o640, True)])
def test_a_secret_file_that_others_may_read_is_used_with_a_warning(tmp_path, capsys, mode, warned):
    file = tmp_path / "secret"
    file.write_text(SECRET)
    file.chmod(mode)
    first(CodeSource(None, file))
    assert (f"chmod 600 {file}" in capsys.readouterr().err) is warned


def test_a_missing_secret_file_is_reported(tmp_path):
    with pytest.raises(NotFoundError, match="nowhere"):
        first(CodeSource(None, tmp_path / "nowhere"))


@pytest.mark.parametrize("path", [Path("/dev/null")])
def test_an_empty_secret_is_none(path):
    with pytest.raises(FsError, match="no one-time password secret"):
        first(CodeSource(None, path))
