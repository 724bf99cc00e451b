"""The command that adds many people at once, from a CSV file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fsadmin import output
from fsadmin.context import Admin, common_options, new_home_option
from fsadmin.enrolment import check_issuer, codes_options, handouts, reach_of, reach_options
from fskit.local_paths import LocalPath
from fskit.text import count_text
from fsproto.errors import UsageError

if TYPE_CHECKING:
    from fsadmin.enrolment import EnrolmentHandout
    from fsadmin.roster import UserRow
    from fsd.services.accounts.users import Enrolment


@click.command("add-users", short_help="Create accounts for all users in a CSV file.")
@click.argument("file", type=LocalPath(dir_okay=False))
@click.option(
    "--sheets",
    type=LocalPath(file_okay=False),
    metavar="DIR",
    help="Write a sheet to be printed for each person into this new folder.",
)
@click.option("--company", default="", metavar="NAME", help="Heading of the sheets.")
@click.option("--contact", default="", metavar="TEXT", help="Person to ask, for the sheets.")
@click.option(
    "--fsclient",
    "source",
    default="",
    metavar="TEXT",
    help="A sentence for the sheets: where fsclient comes from.",
)
@codes_options
@reach_options
@new_home_option
@common_options
@click.pass_obj
def add_users(
    admin: Admin,
    *,
    file: Path,
    sheets: Path | None,
    company: str,
    contact: str,
    source: str,
    digits: int,
    period: int,
    algorithm: str,
    host: str | None,
    issuer: str,
    new_home: bool,
) -> None:
    """Create accounts for all people in a CSV file, or for none.

    Line 1 of FILE names the columns: 'name', and any of 'note', 'expires', 'quota_bytes' and
    'quota_files', with the values of the options of add-user. An empty field is not set. If a
    line is invalid, all invalid lines are reported and no account is created.

    --sheets writes one HTML file for each person, to print and hand over: QR codes, secret, link
    and first steps. all.html has all of them, one on each page. Only you can read the folder;
    delete it after printing. --json prints the same data. Give at least one of the two: secrets
    are shown only once.
    """
    from fsadmin import roster
    from fsadmin.enrolment_sheets import Letterhead, SheetFolder
    from fskit.clock import now_ms

    if sheets is None and not admin.json:
        raise UsageError(
            "The secrets are shown only once, and no output for them was given.",
            hint="Give --sheets DIR, or --json.",
        )
    if sheets is None and (company or contact or source):
        raise UsageError("--company, --contact and --fsclient are for --sheets.")
    check_issuer(issuer)
    reach = reach_of(admin.place, host)
    rows, wrong = roster.read(file, now_ms())
    head = Letterhead(str(reach), output.day(now_ms())[:10], company, contact, source)
    folder = None if sheets is None else SheetFolder(sheets, head)
    if not admin.place.is_there:  # nothing that is refused creates a data directory
        roster.check(file, rows, wrong)
    admin.begin(second=new_home)
    handed: list[EnrolmentHandout] = []

    def hand_out(made: list[Enrolment]) -> None:
        handed.extend(handouts(admin.home, made, reach, issuer))
        if folder is not None:
            folder.write(zip(handed, map(_ends, rows), strict=True))

    with admin.people() as people:
        wrong += roster.taken(rows, people.taken({row.name for row in rows}))
        roster.check(file, rows, wrong)
        new = [(row.name, row.terms) for row in rows]
        try:
            people.add_all(new, hand_out, digits=digits, period=period, algorithm=algorithm)
        except BaseException:
            if folder is not None and handed:
                folder.discard()
            raise
    where = None if folder is None else str(folder.folder)
    admin.answer(
        {"added": [person.as_json for person in handed], "sheets": where},
        lambda: (
            f"{count_text(len(handed), 'person was', 'people were')} added. Their sheets are in "
            f"{where}, all of them in one file too; print them, hand them over, and delete them."
        ),
    )


def _ends(row: UserRow) -> str:
    """Return the expiry of an account for its sheet; empty if it does not expire."""
    from fsd.services.accounts.terms import moment

    expires = row.terms.expires_ms
    return "" if expires is None or expires.value is None else moment(expires.value)
