"""Adding many users at once: all or none, and an enrolment sheet for each."""

from __future__ import annotations

import json
import re
import shutil
import stat
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from fsadmin import roster
from fsadmin.cli import main
from fsadmin.enrolment import EnrolmentHandout
from fsadmin.enrolment_sheets import Letterhead, SheetFolder, page, sheet
from fsd.home.home import Home
from fsd.policies import NO_LIMIT
from fsd.services.accounts.terms import AccountTerms, NewValue
from fsproto import crypto, qr
from fsproto.errors import ExistsError, FsError, NotFoundError, UsageError

CHROMIUM = shutil.which("chromium")
NOW_MS = 1_800_000_000_000
"""In January 2027."""
GIVEN = EnrolmentHandout(
    "anna", "ABCDEFGHIJKLMNOP", "otpauth://totp/x", "fs://anna@h:1/?host-key=x", 6, 30
)

HEAD = Letterhead(
    "files.example.org:65432", "2027-01-15", "Example Ltd", "Ann, phone 4711", "Ask Ann."
)


@pytest.fixture
def admin(tmp_path, monkeypatch, capsys):
    """Run fsadmin on its own data directory; return its exit status, stdout and stderr."""

    def run(*args: object) -> tuple[int | str | None, str, str]:
        home = str(tmp_path / "home")
        monkeypatch.setattr(sys, "argv", ["fsadmin", "--home", home, *map(str, args)])
        with pytest.raises(SystemExit) as ended:
            main()
        return (ended.value.code, *capsys.readouterr())

    return run


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "people.csv"


def names(admin) -> list[str]:
    status, out, err = admin("list-users", "--json")
    if status:  # nothing was added, and so there is no data directory
        assert "There is no server data in" in err
        return []
    return [person["user"] for person in json.loads(out)]


# --- the file


def test_a_line_says_what_the_options_of_add_user_say(file):
    file.write_text(
        "name,note,expires,quota_bytes,quota_files\n"
        'anna,"in room 4, upstairs",2027-06-30,1.5G,10\n'
        "ben , ,,none,default\n"
        "\n"
        ",,,,\n"
        "cara,,none,,\n"
    )
    rows, wrong = roster.read(file, NOW_MS)
    assert wrong == []
    assert [(row.line, row.name, row.terms) for row in rows] == [
        (
            2,
            "anna",
            AccountTerms(
                NewValue(3 << 29), NewValue(10), NewValue(1_814_313_600_000), "in room 4, upstairs"
            ),
        ),
        (3, "ben", AccountTerms(quota_bytes=NewValue(NO_LIMIT), quota_files=NewValue(None))),
        (6, "cara", AccountTerms(expires_ms=NewValue(None))),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffname\nanna\n",
        "Name\r\nanna\r\n",
        "note,NAME\nx,anna",
        'name;note\r\nanna;"room 4, floor; 2"\r\n',
        "note\tname\nx, y\tanna\n",
    ],
)
def test_files_of_spreadsheets_are_read(file, text):
    file.write_text(text, encoding="utf-8", newline="")
    rows, wrong = roster.read(file, NOW_MS)
    assert ([row.name for row in rows], wrong) == (["anna"], [])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("Anna,,,,", "name: 'Anna' cannot name a user. Use 1 to 64 of a-z"),
        ("x\x1b[31m,,,,", "name: 'x\\u001b[31m' cannot"),
        ("anna,,soon,,", "expires: 'soon' is not when an account can expire; allowed is a date"),
        ("anna,,2027-02-30,,", "expires: '2027-02-30' is not"),
        ("anna,,2027-06-30T10:00,,", "a time with its zone"),
        ("anna,,2026-06-30,,", "The account would have expired already."),
        ("anna,,,10X,", "quota_bytes: '10X' is not a quota of bytes; allowed is a number"),
        ("anna,,,-1,", "quota_bytes: '-1' is not"),
        ("anna,,,,1.5", "quota_files: '1.5' is not a quota of files; allowed is a number"),
        (f"anna,{'x' * 501},,,", "note: A note has at most 500 printable characters"),
        ("anna,,", "3 values for 5 columns."),
        ("anna,,,,,,", "7 values for 5 columns."),
        ("ben,,,,", "'ben' is in line 2 already."),
    ],
)
def test_an_invalid_line_is_reported_with_number_value_and_allowed_values(file, line, said):
    file.write_text(f"name,note,expires,quota_bytes,quota_files\nben,,,,\n{line}\n")
    rows, wrong = roster.read(file, NOW_MS)
    assert [row.name for row in rows] == ["ben"]
    assert [one.line for one in wrong] == [3]
    assert said in wrong[0].what


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b"who\nanna\n", "'who' in line 1 of"),
        (b"name|note\nanna|x\n", "'name|note' in line 1 of"),
        (b"name,name\nanna,x\n", "names no columns"),
        (b"note\nx\n", "names no columns"),
        (b"name\nanna\nb\xffen\n", "is not UTF-8 in line 3"),
        (b'name\n"anna\n', "Line 2 is not CSV"),
        (b"name\n" + b"x" * (17 << 20), "too large"),
    ],
)
def test_an_invalid_user_list_is_refused_with_a_sentence(file, data, said):
    file.write_bytes(data)
    with pytest.raises(UsageError) as refusal:
        roster.read(file, NOW_MS)
    assert said in refusal.value.sentence


def test_a_missing_file_is_reported(file):
    with pytest.raises(NotFoundError):
        roster.read(file, NOW_MS)


# --- all or none


def test_all_users_are_added_each_with_a_private_sheet(admin, file, tmp_path):
    file.write_text("name,quota_bytes\nanna,10G\nben,\n")
    sheets = tmp_path / "sheets"
    status, out, err = admin("add-users", file, "--sheets", sheets, "--host", "files.example.org")
    assert status == 0
    assert re.fullmatch(r"Created a NEW server in .*\.\n", err)
    assert out.startswith("2 people were added.")
    assert names(admin) == ["anna", "ben"]
    assert sorted(path.name for path in sheets.iterdir()) == ["all.html", "anna.html", "ben.html"]
    assert stat.S_IMODE(sheets.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in sheets.iterdir())
    assert json.loads(admin("show-user", "anna", "--json")[1])["quota_bytes"] == 10 << 30
    shown = (sheets / "anna.html").read_text()
    assert "fs://anna@files.example.org:65432/?host-key=SHA256:" in shown


def test_json_has_the_secrets_of_all_users(admin, file):
    file.write_text("name\nanna\nben\n")
    status, out, _ = admin("add-users", file, "--json")
    assert status == 0
    told = json.loads(out)
    assert told["sheets"] is None
    assert [one["user"] for one in told["added"]] == ["anna", "ben"]
    assert len({one["secret"] for one in told["added"]}) == 2
    assert set(told["added"][0]) == {"user", "secret", "otpauth_uri", "enroll_link"}


def test_the_host_key_is_read_once_for_all_users(admin, file, monkeypatch):
    """Reading it tests its primes, which takes a tenth of a second."""
    admin("add-user", "first")
    reads = list[Path]()
    read = Home.host_key

    def counted(home: Home) -> crypto.RsaKey:
        reads.append(home.path)
        return read(home)

    monkeypatch.setattr(Home, "host_key", counted)
    file.write_text("name\n" + "".join(f"user{number}\n" for number in range(20)))
    assert admin("add-users", file, "--json")[0] == 0
    assert len(reads) == 1
    assert admin("link", "--all")[0] == 0
    assert len(reads) == 2


def test_all_invalid_lines_are_reported_and_no_user_is_added(admin, file, tmp_path):
    admin("add-user", "ben")
    file.write_text("name,quota_bytes\nanna,\nben,\nAnna,10X\nanna,\n")
    sheets = tmp_path / "sheets"
    status, out, err = admin("add-users", file, "--sheets", sheets)
    assert (status, out) == (2, "")
    assert [line.split(":")[0] for line in err.splitlines() if line.startswith("line")] == [
        "line 3",
        "line 4",
        "line 4",
        "line 5",
    ]
    assert f"fsadmin: 3 lines of {file} cannot be used; no user was added.\n" in err
    assert names(admin) == ["ben"]
    assert not sheets.exists()
    told = json.loads(admin("add-users", file, "--json")[1])
    assert (told["error"], len(told["details"])) == ("bad-rows", 4)


def test_secrets_that_would_be_lost_are_not_made(admin, file):
    file.write_text("name\nanna\n")
    status, _, err = admin("add-users", file)
    assert status == 2
    assert "Give --sheets DIR, or --json." in err
    assert "There is no server data" in admin("list-users")[2]


def test_no_user_is_added_if_the_sheets_cannot_be_written(admin, file, tmp_path):
    file.write_text("name\nanna\nben\n")
    sheets = tmp_path / "sheets"
    sheets.mkdir()
    (sheets / "something").touch()
    assert admin("add-users", file, "--sheets", sheets)[0] == 8
    under = tmp_path / "a-file"
    under.touch()
    status, _, err = admin("add-users", file, "--sheets", under / "sheets")
    assert status != 0
    assert "Traceback" not in err
    assert names(admin) == []


def test_a_name_added_at_the_same_moment_undoes_the_whole_import(admin, file, tmp_path, capsys):
    """Two administrators add the same name: the second command adds no user."""
    admin("add-user", "ben")
    from contextlib import closing

    from fsd import factory
    from fsd.home.home import Home

    home = Home(tmp_path / "home")
    sheets = SheetFolder(tmp_path / "sheets", HEAD)
    with closing(factory.open_database(home, None)) as database:
        people = factory.people(home, database)
        with pytest.raises(ExistsError):
            people.add_all(
                [("anna", AccountTerms()), ("ben", AccountTerms())],
                lambda _: sheets.write([]),
                digits=6,
                period=30,
                algorithm="SHA1",
            )
    assert names(admin) == ["ben"]


def test_sheets_that_fail_in_the_middle_leave_none(tmp_path):
    sheets = SheetFolder(tmp_path / "sheets", HEAD)

    def people():
        yield GIVEN, ""
        raise FsError("The QR code cannot be made.")

    with pytest.raises(FsError):
        sheets.write(people())
    assert list(sheets.folder.iterdir()) == []


# --- a sheet


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def shown_sheet() -> str:
    return page("anna", sheet(GIVEN, HEAD, "2027-06-30 00:00:00 UTC"))


def test_a_sheet_runs_nothing_and_loads_nothing():
    tags = Tags(shown_sheet())
    allowed = (
        "html head meta title style body article header h1 h2 section div svg path p span code pre "
        "footer"
    )
    assert {tag for tag, _ in tags.seen} <= set(allowed.split())
    for _, attributes in tags.seen:
        assert not {"src", "href", "xlink:href", "data", "srcset"} & set(attributes)
        assert not [name for name in attributes if name.startswith("on")]
    assert "default-src 'none'" in shown_sheet()
    assert "url(" not in shown_sheet()
    assert "@import" not in shown_sheet()


def test_a_sheet_says_what_is_needed():
    text = re.sub(r"\s+", " ", Tags(shown_sheet()).text)
    for needed in (
        "ABCD EFGH IJKL MNOP",
        f"fsclient enroll '{GIVEN.link}'",
        "6-digit password every 30",
        "2027-06-30",
        "files.example.org:65432",
        "2027-01-15",
        "Example Ltd",
        "Questions: Ann, phone 4711",
        "Ask Ann.",
        "fsclient keys backup",
        "fsclient put",
    ):
        assert needed in text
    assert qr.svg(GIVEN.uri) in shown_sheet()
    assert qr.svg(GIVEN.link) in shown_sheet()


def test_without_texts_of_the_company_a_sheet_has_no_empty_phrases():
    text = Tags(sheet(GIVEN, Letterhead("h:1", "2027-01-15"))).text
    assert "Questions" not in text
    assert "Ask the administrator for fsclient." in text


def test_whatever_a_value_is_it_stays_text():
    bad = "<script>alert('&\"')</script>{user}"
    shown = page(
        bad,
        sheet(
            EnrolmentHandout(bad, bad, GIVEN.uri, bad, 6, 30),
            Letterhead(bad, bad, bad, bad, bad),
            bad,
        ),
    )
    assert "<script" not in shown
    assert Tags(shown).text.count(bad) >= 9


@pytest.mark.parametrize("text", ["two\nlines", "\x1b[31m", "x" * 201])
def test_a_text_that_does_not_fit_on_a_sheet_is_refused(admin, file, tmp_path, text):
    file.write_text("name\nanna\n")
    status, _, err = admin("add-users", file, "--sheets", tmp_path / "s", "--contact", text)
    assert status == 2
    assert "at most 200 printable characters" in err
    assert names(admin) == []


def test_texts_for_sheets_need_sheets(admin, file):
    file.write_text("name\nanna\n")
    status, _, err = admin("add-users", file, "--json", "--company", "Example Ltd")
    assert (status, "are for --sheets" in err) == (2, True)


def test_one_file_has_the_sheets_of_all_each_on_a_page(admin, file, tmp_path):
    file.write_text("name\nanna\nall\n")
    sheets = tmp_path / "sheets"
    assert admin("add-users", file, "--sheets", sheets)[0] == 0
    found = {path.name: path for path in sheets.iterdir()}
    assert sorted(found) == ["_all.html", "all.html", "anna.html"]
    assert stat.S_IMODE(found["_all.html"].stat().st_mode) == 0o600
    everybody = found["_all.html"].read_text()
    tags = Tags(everybody)
    assert [tag for tag, _ in tags.seen].count("article") == 2
    for user in ("anna", "all"):
        single = found[f"{user}.html"].read_text()
        assert single[single.index("<article>") : single.index("</body>")].strip() in everybody


@pytest.mark.cases(1)
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.parametrize("name", ["anna", "m" * 64])
def test_each_person_has_one_page_on_paper(tmp_path, name):
    link = f"fs://{name}@{'files.' * 8}example.org:65432/?host-key=SHA256:{'x' * 43}"
    person = EnrolmentHandout(name, GIVEN.secret * 2, f"otpauth://totp/{name}", link, 6, 30)
    one = sheet(person, HEAD, "2027-06-30 00:00:00 UTC")
    file, pdf = tmp_path / "all.html", tmp_path / "all.pdf"
    file.write_text(page("2 sheets", f"{one}\n{one}"))
    subprocess.run(
        [
            *(str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu"),
            *(f"--user-data-dir={tmp_path / 'profile'}", f"--print-to-pdf={pdf}", file.as_uri()),
        ],
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert re.findall(rb"/Count (\d+)", pdf.read_bytes()) == [b"2"]
