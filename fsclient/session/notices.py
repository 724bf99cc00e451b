"""What the server tells at a login of what happened at the account, in words."""

from __future__ import annotations

from collections.abc import Iterable

from fsclient.ui import Ui
from fskit.text import count_text, time_text
from fsproto.messages.account import Notice
from fsproto.names import for_terminal

_LEAKED = "If that was not you, make a new secret with 'fsclient otp rotate'."


def tell(ui: Ui, notices: Iterable[Notice]) -> None:
    """Warn of each; what this version does not know of is nothing to it."""
    for notice in notices:
        sentence = _sentence(notice)
        if sentence:
            ui.warn(sentence)


def _sentence(notice: Notice) -> str | None:
    often = "" if notice.count == 1 else f" {notice.count} times, last"
    when = f"{often} on {time_text(notice.at_ms)} from {notice.address}"
    match notice.kind:
        case "code-replayed":
            return (
                "A one-time password of yours was tried again after it had been used,"
                f"{when}. Somebody may be watching your codes."
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
                f"{files} came to your drop box, the last on {time_text(notice.at_ms)} from "
                f"{for_terminal(notice.address)}: 'fsclient inbox' shows what waits."
            )
        case "ssh-session":
            return (
                "One of your one-time passwords started a session over SSH from another network "
                f"than the last one,{when}. If that was not you, end it with "
                "'fsclient logout --everywhere', and make a new secret with 'fsclient otp rotate'."
            )
        case "recovery-codes-low":
            left = count_text(notice.count, "recovery code") if notice.count else "no recovery code"
            verb = "is" if notice.count <= 1 else "are"
            return f"There {verb} {left} left; 'fsclient recovery-codes' makes new ones."
    return None
