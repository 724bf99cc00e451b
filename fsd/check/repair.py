"""Repair: moves found blobs to a quarantine folder in the data directory; deletes no content.

The row of a file's content remains, for only the owner can sign that the content is removed or
replaced. The row of content without an owner is moved to the report.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import delete

from fsd.blobs.local import explained
from fsd.check.findings import Finding, FindingKind
from fsd.store.engine import before_commit
from fsd.store.models import Blob
from fsd.store.repos import blobs as blob_rows
from fsd.store.repos import nodes, quotas, tree_pages, uploads, users
from fskit.files import write_private

if TYPE_CHECKING:
    from sqlalchemy.orm import Session as Db

    from fsd.blobs.base import BlobStore
    from fsd.home.home import Home
    from fsd.store.engine import Database

REPORT = "report.json"


class Quarantine:
    """The quarantine folder of one repair."""

    def __init__(
        self,
        home: Home,
        database: Database,
        blobs: BlobStore,
        now_ms: int,
        record: Callable[[Db, str], None],
    ) -> None:
        """Initialise; `record` records a repair in the transaction of that repair.

        The folder is created when the first item is moved there.
        """
        when = datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        self.folder = home.path / "quarantine" / when
        self._database = database
        self._blobs = blobs
        self._record = record
        self._report: list[dict[str, object]] = []

    def take(self, findings: Sequence[Finding]) -> list[str]:
        """Repair what can be repaired; return the action for each finding, or an empty string."""
        return [self._take(finding) for finding in findings]

    def _take(self, finding: Finding) -> str:
        if finding.kind is FindingKind.MISCOUNTED:
            return self._count_again(finding)
        root = bytes.fromhex(finding.what)
        match finding.kind:
            case FindingKind.WRONG_PAGES:
                return self._without_pages(finding, root)
            case FindingKind.ORPHAN:
                return self._orphan(finding, f"{finding.what[:2]}/{finding.what}")
            case FindingKind.UNOWNED:
                return self._with_row(finding, root)
            case FindingKind.MISSING | FindingKind.DAMAGED if finding.staged:
                return self._with_row(finding, root)
            case FindingKind.DAMAGED:
                return self._content(finding, root)
        return ""

    def _count_again(self, finding: Finding) -> str:
        with self._database.write() as db:
            owner = users.by_name(db, finding.owner)
            if owner is None:
                return ""
            quotas.hold(db, owner.id)
            quotas.start_over(db, owner.id)
            self._record(db, f"{finding.kind.value}: {finding.owner}")
        return self._note(finding, "counted again")

    def _without_pages(self, finding: Finding, folder: bytes) -> str:
        """Delete the stored tree of a folder; the next request stores it again."""
        with self._database.write() as db:
            if not nodes.states_for_update(db, [folder]):
                return ""
            tree_pages.drop(db, folder)
            self._record(db, f"{finding.kind.value}: {finding.what} of {finding.owner}")
        return self._note(finding, "deleted, to be stored again")

    def _orphan(self, finding: Finding, place: str) -> str:
        with self._database.write() as db:  # no other transaction can add its row in the meantime
            if uploads.known(db, [place]):
                return ""
            self._record(db, f"{finding.kind.value}: {finding.what}")
            # Once it is recorded.
            before_commit(db, lambda _: self._move(place, finding.what))
        return self._note(finding, "moved to quarantine")

    def _with_row(self, finding: Finding, root: bytes) -> str:
        with self._database.write() as db:
            row = blob_rows.get(db, root)
            if row is None:
                return ""
            told: dict[str, object] = {
                "owner_id": row.owner_id,
                "node": row.node_id.hex() if row.node_id else None,
                "salt": row.salt.hex(),
                "size": row.size,
                "created_ms": row.created_ms,
            }
            # The content is safe in its new place before the row goes.
            self._keep(row)
            action = self._note(finding, "moved to quarantine with its row", told)
            db.execute(delete(Blob).where(Blob.root == root))
            self._record(db, f"{finding.kind.value}: {finding.what} of {finding.owner}")
        return action

    def _content(self, finding: Finding, root: bytes) -> str:
        with self._database.write() as db:
            row = blob_rows.get(db, root)
            if row is None:
                return ""
            self._record(db, f"{finding.kind.value}: {finding.what} of {finding.owner}")
            inside = row.data is not None
            before_commit(db, lambda _: self._keep(row))
        return self._note(finding, "copied to quarantine" if inside else "moved to quarantine")

    def _keep(self, row: Blob) -> None:
        if row.data is None:
            self._move(row.place or "", row.root.hex())
            return
        with explained():
            write_private(self._kept(row.root.hex()), row.data)

    def _move(self, place: str, name: str) -> None:
        if self._blobs.size(place) is not None:
            self._blobs.move_out(place, self._kept(name))

    def _kept(self, name: str) -> Path:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self.folder / name

    def _note(self, finding: Finding, action: str, row: dict[str, object] | None = None) -> str:
        self._report.append(
            {
                "kind": finding.kind.value,
                "what": finding.what,
                "owner": finding.owner,
                "done": action,
                "row": row,
            }
        )
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with explained():
            (self.folder / REPORT).write_text(json.dumps(self._report, indent=1))
        return action
