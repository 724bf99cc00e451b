"""The commands about drop keys, without a running fsd."""

from __future__ import annotations

import json

import pytest

from tests.support.json_results import fields_of

LINE = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f scanner\n"
KEY = {"user", "fingerprint", "kind", "note", "added_ms"}


@pytest.fixture
def keyfile(tmp_path):
    path = tmp_path / "scanner.pub"
    path.write_text(LINE)
    return str(path)


def test_a_key_is_added_shown_and_removed(admin, keyfile):
    status, out, err = admin("--json", "add-drop-key", "alice", keyfile, "--note", "2nd floor")
    assert (status, err) == (0, "")
    known = json.loads(out)
    assert fields_of(known) == KEY
    assert (known["user"], known["note"], known["kind"]) == ("alice", "2nd floor", "ssh-ed25519")
    assert known["fingerprint"].startswith("SHA256:")
    assert json.loads(admin("list-drop-keys", "--json")[1]) == [known]
    assert json.loads(admin("list-drop-keys", "--json", "--user", "alice")[1]) == [known]
    _, shown, _ = admin("list-drop-keys")
    assert known["fingerprint"] in shown
    assert "2nd floor" in shown
    removed = json.loads(admin("--json", "remove-drop-key", known["fingerprint"])[1])
    assert removed == known | {"removed": True}
    assert admin("list-drop-keys")[1] == "No key may drop anything.\n"


def test_without_a_note_the_comment_is_taken_and_it_is_said_what_is_missing(admin, keyfile):
    status, out, _ = admin("add-drop-key", "alice", keyfile)
    assert status == 0
    assert "drop_box = true" in out
    assert "scanner" in admin("list-drop-keys")[1]


def test_what_goes_wrong_has_its_status(admin, keyfile, tmp_path):
    assert admin("add-drop-key", "nobody", keyfile)[0] == 5
    assert admin("add-drop-key", "alice", str(tmp_path / "missing"))[0] == 5
    assert admin("add-drop-key", "alice", str(tmp_path))[0] == 2
    assert admin("list-drop-keys", "--user", "nobody")[0] == 5
    assert admin("remove-drop-key", "SHA256:x")[0] == 5
    assert admin("add-drop-key", "alice", keyfile)[0] == 0
    assert admin("add-drop-key", "alice", keyfile)[0] == 8
    (tmp_path / "private").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nsecret\n")
    status, out, err = admin("add-drop-key", "alice", str(tmp_path / "private"))
    assert status == 2
    assert "secret" not in out + err
