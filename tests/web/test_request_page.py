"""The page of request links in a real Chromium, before an honest and a lying server."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from fsproto import labels
from fsproto.limits import SEGMENT_SIZE
from fsproto.links import url_secret
from fsproto.requests.upload import UploadState
from fsproto.signed import payload_hash
from tests.support.browser import Page
from tests.support.fixed_keys import person, stretch
from tests.support.request_server import Behaviour

LARGE = stretch("large", 5 * SEGMENT_SIZE)
DAMAGED = "What the server sent does not belong to this link."


def files(folder: Path, contents: dict[str, bytes]) -> list[Path]:
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in contents]


def test_three_files_arrive_sealed_and_open_with_their_receipts(serve, page: Page, tmp_path: Path):
    server = serve("Your scans, please.")
    contents = {"page 1 ü.txt": b"page 1", "large.bin": LARGE, "e\u0301mpty": b""}
    page.open(server.url)
    page.wait_for("Send files to alice")
    for text in ("Your scans, please.", "The server cannot read the files."):
        assert text in page.shown
    page.choose(*files(tmp_path, contents))
    page.fill("sender", " Bob ")
    page.press_send()
    page.wait_for("All 3 files were sent.")
    received = server.received()
    named = {opened.note.name: plain for opened, plain in received}
    assert named == {"page 1 ü.txt": b"page 1", "large.bin": LARGE, "\u00e9mpty": b""}
    for opened, _ in received:
        assert opened.note.sender == "Bob"
        assert opened.content.root.hex() in page.shown
    modified = {opened.note.name: opened.note.mtime_ns for opened, _ in received}["large.bin"]
    assert abs(modified - (tmp_path / "large.bin").stat().st_mtime_ns) < 1_000_000  # JavaScript's
    sent = b"".join(bytes(upload.blob) for upload in server.uploads.values())
    assert LARGE[1000:1100] not in sent


def test_names_that_could_do_harm_are_refused_or_shown_harmless(serve, page: Page, tmp_path: Path):
    server = serve()
    page.open(server.url)
    page.wait_for("Send files to alice")
    page.choose(*files(tmp_path, {"a\u202egpj.exe": b"one", "bell\u0007": b"two", "good": b"3"}))
    assert "a\\u202egpj.exe" in page.shown
    page.press_send()
    page.wait_for("bell\\u0007: 'bell\\u0007' cannot name a file or folder.")
    assert [opened.note.name for opened, _ in server.received()] == ["a\u202egpj.exe", "good"]


def test_an_upload_resumes_after_lost_connections(serve, page: Page, tmp_path: Path):
    server = serve()
    server.does = Behaviour(
        cuts_after=[0, SEGMENT_SIZE - 1, SEGMENT_SIZE],
        refuses=lambda method, before: (503, "busy") if (method, before) == ("PUT", 1) else None,
    )
    page.open(server.url)
    page.wait_for("Send files to alice")
    page.choose(*files(tmp_path, {"large.bin": LARGE}))
    page.press_send()
    page.wait_for("The file was sent.")
    assert [plain for _, plain in server.received()] == [LARGE]
    assert len(server.uploads) == 1
    assert server.segments_sent == 4 + 1  # the first one came over a connection that was cut


def test_a_file_that_changes_meanwhile_is_not_sent(serve, page: Page, tmp_path: Path):
    server = serve()
    (path,) = files(tmp_path, {"large.bin": LARGE})

    def changing(method: str, state: UploadState) -> UploadState:
        if method == "PUT":
            path.write_bytes(LARGE[:-1] + b"x")
        return state

    server.does = Behaviour(state=changing)
    page.open(server.url)
    page.wait_for("Send files to alice")
    page.choose(path)
    page.press_send()
    page.wait_for("The file could not be read. It was changed, moved or removed.")
    page.wait_until(lambda: not server.uploads)
    assert "was sent." not in page.shown


def test_a_password_is_asked_for(serve, page: Page, tmp_path: Path, monkeypatch):
    for name, value in (("_PASSES", 3), ("_LANES", 4), ("_MEMORY_KIB", 64 * 1024)):
        monkeypatch.setattr(url_secret, name, value)  # the page derives keys at full cost
    server = serve(password="thé wörd")
    page.open(server.url)
    page.wait_for("This link has a password")
    page.type(" thé wörd ")
    page.wait_for("Send files to alice")
    page.choose(*files(tmp_path, {"a": b"a"}))
    page.press_send()
    page.wait_for("The file was sent.")
    assert [plain for _, plain in server.received()] == [b"a"]


def test_a_server_cannot_put_its_own_keys_in(serve, page: Page):
    server = serve()
    other = person("bob").bundle
    named = payload_hash(labels.HASH_BUNDLE, other.signed.payload)
    for sealed in (
        server.describe(other.signed.payload, server.bundle),
        server.describe(other.signed.payload, named),
        server.description[:-1] + bytes([server.description[-1] ^ 1]),
        serve("another request link").description,
        b"",
    ):
        server.does.description = lambda _, sealed=sealed: sealed
        page.open(server.url)
        page.wait_for(DAMAGED)
        assert "Send files" not in page.shown


REFUSALS = {
    "full": (409, "This link takes no further files."),
    "too-large": (413, "The file is larger than this link or the server permits."),
    "no-room": (507, "There is no room for the file at the server."),
    "damaged": (422, "The file did not arrive whole. Send it again."),
    "a word of no meaning": (403, "The server refused this. The server answered"),
    "ended": (404, "This link takes no files. It may have expired"),
}


def test_each_refusal_is_one_plain_sentence_and_the_file_can_be_sent_again(
    serve, page: Page, tmp_path: Path
):
    server = serve()
    (path,) = files(tmp_path, {"a": b"a"})
    page.open(server.url)
    page.wait_for("Send files to alice")
    page.choose(path)
    for word, (status, sentence) in REFUSALS.items():
        server.does.refuses = lambda method, _, said=(status, word): (
            said if method == "START" else None
        )
        page.press_send()
        page.wait_for(f"a: {sentence}")
    server.does = Behaviour()
    page.press_send()
    page.wait_for("The file was sent.")


LIES = {
    "more_segments_than_were_sent": ("START", lambda state: replace(state, segments=1)),
    "a_file_that_was_not_sent": ("START", lambda state: replace(state, finished=True)),
    "fewer_segments_than_it_got": ("PUT", lambda state: replace(state, segments=0)),
    "no_end": ("END", lambda state: replace(state, finished=False)),
}


def test_no_lie_about_an_upload_gives_a_receipt(serve, page: Page, tmp_path: Path):
    (path,) = files(tmp_path, {"a": b"a"})
    server = serve()
    for name, (when, lie) in LIES.items():
        server.does.state = lambda method, state, when=when, lie=lie: (
            lie(state) if method == when else state
        )
        page.open(server.url)
        page.wait_for("Send files to alice")
        page.choose(path)
        page.press_send()
        page.wait_for(f"a: {DAMAGED}")
        assert "Receipt" not in page.shown, name


def test_urls_that_are_cut_are_one_sentence(serve, page: Page):
    url = serve().url
    page.open(url[:-7])
    page.wait_for("This link is not complete.")
    page.type(f" <{url}> ")
    page.wait_for("Send files to alice")
