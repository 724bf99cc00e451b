"""Commands for hooks: what waits, a test, the secret of the webhook."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

import click

from fsadmin import output
from fsadmin.context import Admin, common_options
from fskit.text import count_text
from fsproto.errors import FsError, Unreachable, UsageError
from fsproto.names import for_terminal

if TYPE_CHECKING:
    from fsd.hooks.outcome import Outcome
    from fsd.policies import HookPolicy
    from fsd.store.hook_models import HookEvent


class NotDeliveredError(FsError):
    """A test event was not delivered."""

    code = "not-delivered"
    exit_status = Unreachable.exit_status
    default_hint = "The settings are hooks.command and hooks.url; docs/operations.md explains them."


@click.group(invoke_without_command=True, short_help="Show events that wait for hooks; test hooks.")
@common_options
@click.pass_context
def hooks(context: click.Context) -> None:
    """Show the events that wait for their delivery by a hook, with the last error of each.

    fsd delivers events of the audit log to the command and the webhook that fsd.toml names in
    [hooks]. It tries again after a failure, for three days; docs/operations.md has the details.
    """
    if context.invoked_subcommand is not None:
        return
    admin = context.find_object(Admin)
    if admin is None:
        raise AssertionError("it is made before any command")
    from fsd.store.repos import hooks as rows

    with admin.database_at_head() as database, database.read() as db:
        found, dropped = rows.waiting(db), rows.dropped(db)
    there = _targets(admin)
    told = {"targets": there, "waiting": [_as_json(one) for one in found], "dropped": dropped}
    admin.answer(told, lambda: _listed(there, found, dropped))


@hooks.command("test", short_help="Deliver a test event and show the answer.")
@common_options
@click.pass_obj
def send_test(admin: Admin) -> None:
    """Deliver one event of the type 'test' to each hook in the settings, and show the answers.

    It runs the command as the owner of the data directory, but outside the restrictions of fsd's
    systemd unit. A failed test is not tried again.
    """
    from fsd.hooks.payload import HookMessage
    from fsd.hooks.worker import WEBHOOK, deliver, prepare
    from fskit.clock import now_ms

    home, policy = admin.home, admin.checked("hooks.").hooks
    there = _needed(admin)
    if WEBHOOK in there:
        prepare(home, os.urandom)
    message = HookMessage(secrets.token_hex(16), "test", now_ms(), admin.actor, "", "", "a test")
    outcomes = {target: deliver(target, policy, home, message) for target in there}
    told = {"id": message.id, "results": [_result(*one) for one in outcomes.items()]}
    text = "\n".join(_described(policy, *one) for one in outcomes.items())
    failed = [target for target, outcome in outcomes.items() if not outcome.ok]
    if not failed:
        admin.answer(told, lambda: text)
        return
    error = NotDeliveredError(
        f"The test event was not delivered to the {' and the '.join(failed)}."
    )
    error.details = tuple(text.splitlines())
    raise error


@hooks.command(short_help="Show the secret that signs events for the webhook.")
@common_options
@click.pass_obj
def secret(admin: Admin) -> None:
    """Show the secret with which a receiver checks that an event comes from this server.

    It is in hook.key in the data directory, and is made if it is missing. Another secret may be
    written into that file; fsd uses it from the next delivery on.
    """
    from fsd.home.home import HOOK_KEY
    from fsd.hooks.payload import read_secret
    from fsd.hooks.worker import prepare

    home = admin.home
    prepare(home, os.urandom)
    content = home.read(HOOK_KEY)
    read_secret(content)
    text = content.decode().strip()
    admin.answer({"secret": text}, lambda: text)


@hooks.command(short_help="Try all waiting events again now.")
@common_options
@click.pass_obj
def retry(admin: Admin) -> None:
    """Make all events that wait for a hook due now, for example after a receiver was repaired."""
    from fsd.store.repos import hooks as rows
    from fskit.clock import now_ms

    there = _needed(admin)
    with admin.database_at_head() as database, database.write() as db:
        count = rows.make_due(db, now_ms(), there)
    admin.answer({"due": count}, lambda: f"{count_text(count, 'event')} will be tried again now.")


def _targets(admin: Admin) -> list[str]:
    from fsd.hooks.worker import targets

    return targets(admin.checked("hooks.").hooks)


def _needed(admin: Admin) -> list[str]:
    there = _targets(admin)
    if not there:
        raise UsageError(
            "The settings have no hook.", hint="Set hooks.command or hooks.url in fsd.toml."
        )
    return there


def _listed(there: list[str], found: list[HookEvent], dropped: int) -> str:
    lines = [f"Events go to the {' and the '.join(there)}." if there else "No hook is set."]
    lines += ["", *_table(found)] if found else ["No event waits."]
    if dropped:
        lines.append(f"{count_text(dropped, 'event')} had to make room for newer ones so far.")
    return "\n".join(lines)


def _table(found: list[HookEvent]) -> list[str]:
    """Return a row for each event in UTC, and below it the last error."""
    cells = [
        (
            f"{one.event} x{one.count}" if one.count > 1 else one.event,
            *(one.subject or "-", _minute(one.at_ms), one.target, str(one.tries)),
            _minute(one.next_ms),
        )
        for one in found
    ]
    headers = ("EVENT", "USER", "SINCE", "TO", "TRIES", "NEXT TRY")
    first, *rows = output.table(headers, cells, right=("TRIES",)).splitlines()
    lines = [first]
    for row, one in zip(rows, found, strict=True):
        lines += [row, f"  {for_terminal(one.error)}"] if one.error else [row]
    return lines


def _minute(ms: int) -> str:
    return output.second(ms)[:16]


def _as_json(one: HookEvent) -> dict[str, object]:
    return {
        "id": one.id,
        "target": one.target,
        "event": one.event,
        "user": one.subject or None,
        "at_ms": one.at_ms,
        "count": one.count,
        "tries": one.tries,
        "next_ms": one.next_ms,
        "error": one.error or None,
    }


def _result(target: str, outcome: Outcome) -> dict[str, object]:
    output_text = outcome.output.decode("utf-8", "replace")
    return {
        "target": target,
        "delivered": outcome.ok,
        "answer": outcome.stored,
        "output": output_text,
    }


def _described(policy: HookPolicy, target: str, outcome: Outcome) -> str:
    from urllib.parse import urlsplit

    where = policy.command[0] if target == "command" else urlsplit(policy.url).netloc
    lines = [f"{target} {for_terminal(where)}: {outcome.stored}"]
    text = outcome.output.decode("utf-8", "replace").strip()
    if text and outcome.ok:
        lines += [f"  {for_terminal(line)}" for line in text.splitlines()]
    return "\n".join(lines)
