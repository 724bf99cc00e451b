"""What the server tells at a login of what happened at the account, in words."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from fsclient.ui import Ui
from fskit.text import count_text, time_text
from fsproto.messages.account import Notice
from fsproto.names import for_terminal

_LEAKED = "If you did not do this, make a new secret with 'fsclient otp rotate'."

_NEWS = "shared"
"""The kind of notices that are no warnings: people see them, programs do not."""

_TAKEN_OVER = (
    "If you did not do this, another person has your session and your codes: end all sessions with "
    "'fsclient logout --everywhere', and have your administrator disable the account."
)


def tell(ui: Ui, notices: Iterable[Notice], is_new: Callable[[str, int], bool]) -> None:
    """Show each new notice once; ignore kinds that this version does not know.

    `is_new` gets the kind of a notice and its time in Unix ms, and notes that it is shown.
    """
    for notice in notices:
        if notice.kind == _NEWS:
            show = ui.warn if ui.defers else ui.say
            if (ui.defers or not ui.is_silent) and is_new(notice.kind, notice.at_ms):
                show(_shared(notice))
            continue
        sentence = _sentence(notice)
        if sentence and is_new(notice.kind, notice.at_ms):
            ui.warn(sentence)


def _shared(notice: Notice) -> str:
    who, at = for_terminal(notice.address), time_text(notice.at_ms)
    what = f"{who} shared a file or folder with you on {at}"
    if notice.count > 1:
        what = f"Files or folders were shared with you, the last on {at} by {who}"
    return f"{what}: 'fsclient shares' lists what others share with you."


def _sentence(notice: Notice) -> str | None:
    often = "" if notice.count == 1 else f" {notice.count} times, last"
    when = f"{often} on {time_text(notice.at_ms)} from {notice.address}"
    match notice.kind:
        case "code-replayed":
            return (
                "A one-time password of yours was tried again after it had been used,"
                f"{when}. An attacker may have seen your codes."
            )
        case "code-without-key":
            return (
                "Somebody without your identity key gave a right one-time password of yours,"
                f"{when}. {_LEAKED}"
            )
        case "ticket-without-key":
            return (
                "An attempt to use one of your sessions without your identity key was refused,"
                f"{when}. Your profile folder was copied: end all sessions with "
                "'fsclient logout --everywhere'."
            )
        case "dropped":
            files = count_text(notice.count, "file")
            return (
                f"{files} {'waits' if notice.count == 1 else 'wait'} in your drop box, the last "
                f"since {time_text(notice.at_ms)} from {for_terminal(notice.address)}: 'fsclient "
                "inbox' lists them."
            )
        case "keys-rotated":
            return f"YOUR KEYS WERE REPLACED{when}. {_TAKEN_OVER}"
        case "key-backup-kept":
            return f"A new backup of your keys was made{when}. {_TAKEN_OVER}"
        case "key-backup-handed-out":
            return f"The backup of your keys was fetched with your phrase{when}. {_TAKEN_OVER}"
        case "recovery-codes-made":
            return f"New recovery codes were made{when}. {_TAKEN_OVER}"
        case "secret-rotated":
            return f"A new one-time password secret was made{when}. {_TAKEN_OVER}"
        case "ssh-session":
            return (
                "One of your one-time passwords started a session over SSH from another network "
                f"than the last one,{when}. If you did not do this, end it with "
                "'fsclient logout --everywhere', and make a new secret with 'fsclient otp rotate'."
            )
        case "recovery-codes-low":
            left = count_text(notice.count, "recovery code") if notice.count else "no recovery code"
            verb = "is" if notice.count <= 1 else "are"
            return f"There {verb} {left} left; 'fsclient recovery-codes' makes new ones."
    return None
