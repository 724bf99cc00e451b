"""The command that compares all stored data with its records."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import click

from fsadmin.context import Admin, common_options
from fskit.text import binary_size_text, count_text
from fsproto.errors import IntegrityError

if TYPE_CHECKING:
    from sqlalchemy.orm import Session as Db

    from fsd.check.findings import Finding
    from fsd.check.scan import Scan


@click.command(short_help="Compare all stored data with its records.")
@click.option("--repair", is_flag=True, help="Move damaged and unused blobs into quarantine.")
@common_options
@click.pass_obj
def check(admin: Admin, *, repair: bool) -> None:
    """Read every blob and compare it with its root; compare rows, blobs and folders.

    It reports missing or damaged content with its owner, blobs that belong to nothing, and
    folders whose content differs from what was signed. fsd may keep running. All content is
    read, so this can take long.

    --repair moves damaged blobs and blobs that belong to nothing into a new folder under
    'quarantine' in the data directory, with a report; nothing is deleted. Only the owner can
    sign lost files again: they put them back from their own copies. The exit status is 7 while
    files are lost, or if a finding was not moved.
    """
    from fsd.audit.events import AuditEvent
    from fsd.check.repair import Quarantine
    from fsd.check.scan import Scan
    from fsd.cluster.alone import maintenance
    from fsd.factory import audit_keeper
    from fskit.clock import now_ms

    home = admin.home
    blobs = admin.blobs()
    with (
        home.keys(),
        admin.database_at_head() as database,
        maintenance(home, database) if repair else nullcontext(),
    ):
        look = Scan(database, blobs)
        findings = list(look.findings())
        audit = audit_keeper(home, database, admin.actor)

        def record(db: Db, detail: str) -> None:
            audit.note_in(db, AuditEvent.REPAIRED, detail)

        quarantine = Quarantine(home, database, blobs, now_ms(), record)
        done = quarantine.take(findings) if repair else [""] * len(findings)
    where = str(quarantine.folder) if any(done) else None
    admin.answer(
        {
            "blobs": look.blobs,
            "bytes": look.bytes,
            "nodes": look.nodes,
            "findings": [
                {"kind": one.kind.value, "what": one.what, "owner": one.owner, "done": did or None}
                for one, did in zip(findings, done, strict=True)
            ],
            "quarantine": where,
        },
        lambda: _text(look, findings, done, where),
    )
    _fail_for(findings, done)


def _text(look: Scan, findings: list[Finding], done: list[str], where: str | None) -> str:
    lines = [
        f"{one.sentence}{f' ({did})' if did else ''}"
        for one, did in zip(findings, done, strict=True)
    ]
    nodes = count_text(look.nodes, "file or folder", "files and folders")
    blobs = count_text(look.blobs, "stored content")
    lines.append(f"Checked {nodes}, and {blobs} ({binary_size_text(look.bytes)}) of all versions.")
    if not findings:
        lines.append("Nothing is wrong.")
    if where:
        lines.append(f"The quarantined blobs are in {where}.")
    return "\n".join(lines)


def _fail_for(findings: list[Finding], done: list[str]) -> None:
    lost = sum(one.loses for one in findings)
    left = sum(not did for did in done)
    if lost:
        raise IntegrityError(
            f"{lost} of the things that people have stored {'is' if lost == 1 else 'are'} lost.",
            hint="Put an older backup back elsewhere to get at them, or ask their owners to put "
            "them again.",
        )
    if left:
        raise IntegrityError(
            f"{left} of these {'is' if left == 1 else 'are'} left as before.",
            hint="'fsadmin check --repair' puts them aside.",
        )
