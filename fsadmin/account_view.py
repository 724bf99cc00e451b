"""The output of accounts: tables and facts for people, JSON for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fsadmin import output
from fskit.text import binary_size_text, count_text

if TYPE_CHECKING:
    from fsd.services.accounts.users import AccountView, Holdings
    from fsd.settings.model import Settings

_NOTE_IN_ROW = 30


def as_json(person: AccountView) -> dict[str, object]:
    """Return an account as JSON fields."""
    return {
        "user": person.name,
        "enrolled": person.enrolled,
        "disabled": person.disabled,
        "expires_ms": person.expires_ms,
        "expired": person.expired,
        "note": person.note,
        "created_ms": person.created_ms,
        "digits": person.digits,
        "period": person.period,
        "algorithm": person.algorithm,
        "fingerprint": person.fingerprint,
        "clock_ms": person.clock_ms,
        "locked_ms": person.locked_ms,
        "refused_over_ssh": person.refused_over_ssh,
        "held_until_ms": person.held_until_ms,
        "new_secret_ms": person.new_secret_ms,
        "recovery_codes": person.recovery_codes,
        "sessions": person.sessions,
        "files": person.files,
        "folders": person.folders,
        "stored_bytes": person.stored_bytes,
        "used_bytes": person.used_bytes,
        "quota_bytes": person.quota_bytes,
        "quota_files": person.quota_files,
        "handed_over_to": person.handed_over_to,
        "holds": person.holds,
    }


def _state(person: AccountView) -> str:
    words = ["enrolled" if person.enrolled else "not enrolled"]
    if person.handed_over_to is not None:
        return f"closed, held by {person.handed_over_to}"
    words += ["disabled"] if person.disabled else []
    words += ["expired"] if person.expired else []
    words += ["locked"] if person.locked_ms is not None else []
    return ", ".join(words)


def _codes(person: AccountView) -> str:
    return f"{person.digits} digits, {person.period} s, {person.algorithm}"


def _clock(person: AccountView) -> str:
    """Return the error of a user's clock; an error below half a period cannot be measured."""
    off_ms = abs(person.clock_ms)
    if off_ms <= person.period * 500:
        return "in sync at the last login"
    return f"about {round(off_ms / 1000)} s {'ahead' if person.clock_ms > 0 else 'behind'}"


def _door(person: AccountView) -> str:
    """Return the current limits on logins: locks, throttles, and a new secret."""
    if person.locked_ms is not None:
        since = output.day(person.locked_ms)
        return f"locked since {since}; 'fsadmin unlock-user {person.name}' ends it"
    words = []
    if person.new_secret_ms is not None:
        since = output.day(person.new_secret_ms)
        words.append(f"a new secret waits for its first use since {since}")
    if person.refused_over_ssh:
        refused = count_text(person.refused_over_ssh, "code")
        words.append(f"{refused} in a row refused over SSH")
    if person.held_until_ms:
        words.append(f"some attempts are delayed until {output.day(person.held_until_ms)}")
    return "; ".join(words) or "not locked"


HEADERS = ("NAME", "STATE", "CODES", "SESSIONS", "FILES", "USED", "FINGERPRINT", "NOTE")
RIGHT = ("SESSIONS", "FILES", "USED")


def row(person: AccountView) -> tuple[str, ...]:
    """Return a table row for `HEADERS`."""
    return (
        person.name,
        _state(person),
        _codes(person),
        str(person.sessions),
        _of(str(person.files), _number(person.quota_files)),
        _of(binary_size_text(person.used_bytes), _size(person.quota_bytes)),
        person.fingerprint or "-",
        _short(person.note),
    )


def _size(count: int | None) -> str | None:
    return None if count is None else binary_size_text(count)


def _number(count: int | None) -> str | None:
    return None if count is None else str(count)


def _of(used: str, most: str | None) -> str:
    return used if most is None else f"{used} of {most}"


def _short(note: str) -> str:
    return note if len(note) <= _NOTE_IN_ROW else note[: _NOTE_IN_ROW - 1] + "…"


def _quota(person: AccountView) -> str:
    """Return an account's quota, and whether it is the default one."""
    most = [_size(person.quota_bytes), None]
    if person.quota_files is not None:
        most[1] = count_text(person.quota_files, "file")
    words = ", ".join(word for word in most if word is not None) or "none"
    return words if person.quota_is_own or words == "none" else f"{words} (as everybody)"


def described(person: AccountView, limits: dict[str, dict[str, int | None]] | None = None) -> str:
    """Return all facts about one account as text, with its `limits`."""
    return output.facts(
        [
            ("User", person.name),
            ("State", _state(person)),
            ("Fingerprint", person.fingerprint or "-"),
            ("Codes", _codes(person)),
            ("Clock", _clock(person)),
            ("Logins", _door(person)),
            ("Recovery", f"{count_text(person.recovery_codes, 'code')} left"),
            ("Sessions", str(person.sessions)),
            ("Files", str(person.files)),
            ("Folders", str(person.folders)),
            ("Used", binary_size_text(person.used_bytes)),
            ("Quota", _quota(person)),
            (
                "Stored",
                f"{binary_size_text(person.stored_bytes)} with older versions and removed files",
            ),
            *_limit_facts(person),
            *([("Limits", _limits_told(limits))] if limits else []),
            ("Takes over", ", ".join(person.holds) or "-"),
            ("Expires", "never" if person.expires_ms is None else output.day(person.expires_ms)),
            ("Note", person.note or "-"),
            ("Added", output.day(person.created_ms)),
        ]
    )


def _limit_facts(person: AccountView) -> list[tuple[str, str]]:
    """Return the lines of one account on what is stored beside the current files."""
    if person.stored is None:
        return []
    nodes, records, kept = person.stored
    most_nodes, most_records, most_kept = person.most_stored
    return [
        ("Nodes", f"{nodes} of {most_nodes} files and folders, with removed ones"),
        ("Records", f"{_of(binary_size_text(records), _size(most_records))} in the database"),
        ("Kept", f"{_of(binary_size_text(kept), _size(most_kept))} replaced or removed"),
    ]


def limits(person: AccountView, settings: Settings) -> dict[str, dict[str, int | None]]:
    """Return the limits of one account beside its quota, and what it uses (None: not counted)."""
    nodes, records, kept = person.most_stored
    used = person.stored or (None, None, None)
    most = {
        "nodes": (used[0], nodes),
        "record_bytes": (used[1], records),
        "kept_bytes": (used[2], kept),
        "sessions": (person.sessions, settings.logins.most_sessions),
        "connections": (None, settings.person.connections),
        "requests": (None, settings.person.requests),
        "rotations_a_day": (None, settings.logins.rotations_a_day),
        "shares_with_one": (None, settings.quota.shares_with_one),
    }
    return {name: {"used": have, "most": limit} for name, (have, limit) in most.items()}


def _limits_told(limits: dict[str, dict[str, int | None]]) -> str:
    """Return what an account may have at once, as text."""
    words = {
        "connections": "connections",
        "requests": "requests",
        "sessions": "sessions",
        "rotations_a_day": "key rotations a day",
        "shares_with_one": "shares with one user",
    }
    return ", ".join(f"{limits[name]['most']} {what}" for name, what in words.items())


def belongings(what: Holdings) -> str:
    """Return what goes with an account."""
    words = f"{count_text(what.files, 'file')} ({binary_size_text(what.stored_bytes)} stored)"
    if what.shared:
        things = count_text(what.shared, "file or folder", "files or folders")
        people = count_text(what.shared_with, "person", "people")
        words += f"; {things} of them shared with {people}"
    return words
