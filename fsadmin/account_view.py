"""One account as output: facts for people, JSON for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fsadmin import output
from fsd.auth.otp import off_text
from fskit.text import binary_size_text, count_text

if TYPE_CHECKING:
    from fsd.services.accounts.views import AccountView, Holdings
    from fsd.settings.model import Settings

_NOTE_IN_ROW = 20


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
        "refused_code_off_s": None if person.off_ms is None else person.off_ms // 1000,
        "refused_code_ms": person.off_at_ms,
        "locked_ms": person.locked_ms,
        "refused_over_ssh": person.refused_over_ssh,
        "held_until_ms": person.held_until_ms,
        "new_secret_ms": person.new_secret_ms,
        "recovery_codes": person.recovery_codes,
        "sessions": person.sessions,
        "devices": person.devices,
        "files": person.files,
        "folders": person.folders,
        "stored_bytes": person.stored_bytes,
        "used_bytes": person.used_bytes,
        "quota_bytes": person.quota_bytes,
        "quota_files": person.quota_files,
        "handed_over_to": person.handed_over_to,
        "holds": person.holds,
    }


def state_text(person: AccountView) -> str:
    """Return the states of an account."""
    words = ["enrolled" if person.enrolled else "not enrolled"]
    if person.handed_over_to is not None:
        return f"closed, held by {person.handed_over_to}"
    words += ["disabled"] if person.disabled else []
    words += ["expired"] if person.expired else []
    words += ["locked"] if person.locked_ms is not None else []
    return ", ".join(words)


def still_out(person: AccountView) -> str:
    """Return what else keeps a user from logging in, as the end of a sentence, or nothing."""
    if person.handed_over_to is not None:
        return f", but the account is closed and held by {person.handed_over_to}"
    reasons = []
    if person.disabled:
        reasons.append(f"disabled ('fsadmin enable-user {person.name}' ends this)")
    if person.expired:
        reasons.append(f"expired ('fsadmin change-user {person.name} --expires none' ends this)")
    return f", but still {' and '.join(reasons)}" if reasons else ""


def codes_text(person: AccountView) -> str:
    """Return the kind of one-time passwords."""
    return f"{person.digits} digits, {person.period} s, {person.algorithm}"


def _clock(person: AccountView) -> str:
    """Return the error of a user's clock; an error below half a period cannot be measured.

    A code that was refused since the last login may show a larger one.
    """
    if person.off_ms is not None and person.off_at_ms is not None:
        at, way = output.day(person.off_at_ms), "behind" if person.off_ms < 0 else "ahead"
        return f"probably {way}: a code of {off_text(person.off_ms)} was refused, {at}"
    off_ms = abs(person.clock_ms)
    if off_ms <= person.period * 500:
        return "in sync at the last login"
    return f"about {round(off_ms / 1000)} s {'ahead' if person.clock_ms > 0 else 'behind'}"


def _sessions(person: AccountView) -> str:
    devices = ", ".join(person.devices)
    return f"{person.sessions}: {devices}" if devices else str(person.sessions)


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


def size_text_or(count: int | None) -> str | None:
    """Return a number of bytes as text; None stays None."""
    return None if count is None else binary_size_text(count)


def number_text(count: int | None, what: str = "") -> str | None:
    """Return a number as text, with its noun if there is one; None stays None."""
    if count is None:
        return None
    return count_text(count, what) if what else str(count)


def of_text(used: str, most: str | None) -> str:
    """Return what is used, and the limit if there is one."""
    return used if most is None else f"{used} of {most}"


def note_text(person: AccountView) -> str:
    """Return the note, cut to the width of a column."""
    note = person.note
    return note if len(note) <= _NOTE_IN_ROW else note[: _NOTE_IN_ROW - 1] + "…"


def _quota(person: AccountView) -> str:
    """Return an account's quota, and whether it is the default one."""
    most = [size_text_or(person.quota_bytes), number_text(person.quota_files, "file")]
    words = ", ".join(word for word in most if word is not None) or "none"
    return words if person.quota_is_own or words == "none" else f"{words} (as everybody)"


def described(person: AccountView, limits: dict[str, dict[str, int | None]] | None = None) -> str:
    """Return all facts about one account as text, with its `limits`."""
    return output.facts(
        [
            ("User", person.name),
            ("State", state_text(person)),
            ("Fingerprint", person.fingerprint or "-"),
            ("Codes", codes_text(person)),
            ("Clock", _clock(person)),
            ("Logins", _door(person)),
            ("Recovery", f"{count_text(person.recovery_codes, 'code')} left"),
            ("Sessions", _sessions(person)),
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
        (
            "Records",
            f"{of_text(binary_size_text(records), size_text_or(most_records))} in the database",
        ),
        ("Kept", f"{of_text(binary_size_text(kept), size_text_or(most_kept))} replaced or removed"),
    ]


def _bytes_of(used: int, most: int | None) -> str:
    return of_text(binary_size_text(used), size_text_or(most))


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
