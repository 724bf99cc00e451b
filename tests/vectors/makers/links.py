"""Vectors of public links: secrets, descriptions, records of the owner, URLs."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fsproto import crypto, labels
from fsproto.errors import FsError, IntegrityError, RemoteProtocolError, UsageError
from fsproto.keys.tree import KeyedNode
from fsproto.links.description import Description, LinkedFile, describe, seal_description
from fsproto.links.record import LinkRecord, seal_record
from fsproto.links.secret import LinkKeys, LinkSecret
from fsproto.links.url import LinkUrl
from fsproto.packing import pack
from fsproto.sealed.manifest import NodeKind
from fsproto.types import FileKey, LinkId, NodeId, NodeKey, Root, Salt
from tests.support.fixed_keys import Seeded, stretch
from tests.vectors import Vector
from tests.vectors.fields import to_json
from tests.vectors.makers import Files, Kept
from tests.vectors.makers.content import replaced
from tests.vectors.makers.padding import padded, wrong_paddings

OPEN = LinkSecret.new(guarded=False, random=Seeded("public link"))
GUARDED = LinkSecret.new(guarded=True, random=Seeded("public link with a password"))
PASSWORD = "  Zebra-Ü 7\t"


def make(_: Kept) -> Files:
    """Return the files of public links."""
    return {"publiclink": _links(), "linkrecord": _records(), "linkurl": _urls()}


def _file(path: str, size: int = 7) -> LinkedFile:
    return LinkedFile(
        path, size, 1_699_999_999_123_456_789, 0,
        NodeId(stretch(f"node {path}", 16)), 3, Salt(stretch(f"salt {path}", 32)),
        Root(stretch(f"root {path}", 32)), FileKey(stretch(f"key {path}", 32)),
    )  # fmt: skip


ONE = describe(NodeKind.FILE, "seite 1 ü.pdf", "For Monday.", [_file("seite 1 ü.pdf")], [])
FOLDER = describe(
    NodeKind.FOLDER,
    "plans",
    "",
    [_file("b"), _file("a/x", 0), _file("a/ü.txt", 1 << 33), _file("a-b")],
    ["empty", "a/none"],
)


def _links() -> list[Vector]:
    keys = OPEN.keys()

    def vector(name: str, secret: LinkSecret, password: str | None, sealed: bytes) -> Vector:
        derived = secret.keys(password or "")
        return {
            "name": name,
            "secret": secret.secret.hex(),
            "password": password,
            **{
                field: getattr(derived, field).hex()
                for field in (
                    *("link", "access", "proof", "key", "commitment"),
                    *("access_hash", "proof_hash"),
                )
            },
            "sealed": sealed.hex(),
            "error": None,
        }

    def good(name: str, secret: LinkSecret, password: str | None, body: Description) -> Vector:
        sealed = seal_description(secret.keys(password or ""), body)
        return {**vector(name, secret, password, sealed), "fields": to_json(body)}

    def bad(name: str, error: type[FsError], sealed: bytes) -> Vector:
        return {**vector(name, OPEN, None, sealed), "error": error.code}

    def said(vector: str, body: Description, **changes: Any) -> Vector:
        return bad(vector, RemoteProtocolError, seal_description(keys, replaced(body, **changes)))

    def filled(name: str, inside: bytes) -> Vector:
        return bad(name, RemoteProtocolError, _sealed(keys, inside))

    sealed, packed = seal_description(keys, ONE), pack(ONE)
    other = LinkSecret(stretch("another link", 32) if OPEN.guarded else bytes(32)).keys()
    file = ONE.files[0]
    return [
        good("link_of_a_file", OPEN, None, ONE),
        good("link_of_a_folder", OPEN, None, FOLDER),
        good("link_of_an_empty_folder", OPEN, None, describe(NodeKind.FOLDER, "e", "", [], [])),
        good("link_with_a_password", GUARDED, PASSWORD, ONE),
        good("link_with_a_decomposed_password", GUARDED, "Zebra-U\u0308 7", ONE),
        bad("description_changed", IntegrityError, _flipped(sealed, 60)),
        bad("description_commitment_changed", IntegrityError, _flipped(sealed, 0)),
        bad("description_cut", IntegrityError, sealed[:-1]),
        bad("description_empty", IntegrityError, b""),
        bad("description_of_another_link", IntegrityError, seal_description(other, ONE)),
        bad(
            "description_of_another_link_under_this_commitment",
            IntegrityError,
            keys.commitment + seal_description(other, ONE)[32:],
        ),
        bad(
            "description_of_another_link_id",
            IntegrityError,
            seal_description(replaced_keys(keys, LinkId(bytes(16))), ONE),
        ),
        *(
            filled(f"description_{what}", inside)
            for what, inside in wrong_paddings(packed, ">I").items()
        ),
        filled("description_bytes_behind_end", padded(packed + b"\0", ">I")),
        filled("description_not_shortest", padded(b"\xdc\0\6" + packed[1:], ">I")),
        said("description_of_format_2", ONE, format=2),
        said("description_of_kind_3", ONE, kind=3),
        said("description_note_too_long", ONE, note="x" * 1001),
        said("file_and_another_file", ONE, files=[file, _file("z")]),
        said("file_missing", ONE, files=[]),
        said("file_with_folders", ONE, folders=["x"]),
        said("file_under_another_name", ONE, files=[_file("x")]),
        said("file_of_a_symbolic_link", ONE, files=[replaced(file, mode=2)]),
        said("file_of_a_size_below_zero", ONE, files=[replaced(file, size=-1)]),
        said("file_of_version_0", ONE, files=[replaced(file, version=0)]),
        said("file_key_short", ONE, files=[replaced(file, key=FileKey(bytes(31)))]),
        said("file_root_short", ONE, files=[replaced(file, root=Root(bytes(31)))]),
        said("file_salt_long", ONE, files=[replaced(file, salt=Salt(bytes(33)))]),
        said("file_node_short", ONE, files=[replaced(file, node=NodeId(bytes(15)))]),
        said("folder_paths_out_of_order", FOLDER, files=FOLDER.files[::-1]),
        said("folder_path_twice", FOLDER, files=[_file("a"), _file("a")]),
        said("folder_below_a_file", FOLDER, files=[_file("a"), _file("a/b")], folders=[]),
        said("folder_empty_and_not", FOLDER, files=[_file("a/b")], folders=["a"]),
        said("folder_empty_and_a_file", FOLDER, files=[_file("a")], folders=["a"]),
        *(
            said(f"name_{what}", FOLDER, name=name)
            for what, name in (
                ("empty", ""),
                ("dot_dot", ".."),
                ("slash", "a/b"),
                ("control_character", "a\x1b[2J"),
                ("not_nfc", "u\u0308"),
                ("too_long", "x" * 256),
            )
        ),
        *(
            said(f"path_{what}", FOLDER, files=[_file(path)], folders=[])
            for what, path in (
                ("empty", ""),
                ("dot_dot", "a/../../b"),
                ("absolute", "/etc/passwd"),
                ("ends_in_slash", "a/"),
                ("empty_part", "a//b"),
                ("control_character", "a/\x00"),
                ("not_nfc", "u\u0308/a"),
                ("129_parts", "/".join(["x"] * 129)),
            )
        ),
        said("path_of_a_folder_dot_dot", FOLDER, folders=["../up"]),
    ]


def replaced_keys(keys: LinkKeys, link: LinkId) -> LinkKeys:
    """Return the keys with another link id."""
    return LinkKeys(link, keys.access, keys.proof, keys.key, keys.commitment)


def _sealed(keys: LinkKeys, inside: bytes) -> bytes:
    binding = labels.PUBLIC_LINK + keys.link
    return keys.commitment + AESGCM(keys.key).encrypt(bytes(12), inside, binding)


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def _records() -> list[Vector]:
    new, old = (NodeKey(stretch(f"root key {number}", 32)) for number in (2, 1))
    root = KeyedNode(NodeId(stretch("root node", 16)), 2, new, (old,))
    link, node = OPEN.link, NodeId(stretch("linked node", 16))
    body = LinkRecord(1, "plans/seite 1 ü.pdf", "seite 1 ü.pdf")
    record = seal_record(root, link, node, body, Seeded("record"))

    def vector(name: str, error: type[FsError] | None = None, **changes: Any) -> Vector:
        values = {"generation": 2, "link": link, "node": node, "record": record, **changes}
        shown = {name: to_json(value) for name, value in values.items()}
        keys = [new.hex(), old.hex()]
        fields = {} if error else {"fields": to_json(body)}
        return {
            "name": name, "root": root.node.hex(), "keys": keys, **shown, **fields,
            "error": error.code if error else None,
        }  # fmt: skip

    def filled(inside: bytes) -> bytes:
        key = crypto.hkdf_expand(new, labels.NODE_PUBLIC_LINK_KEY)
        binding = labels.PUBLIC_LINK_RECORD + link + node
        return bytes(12) + AESGCM(key).encrypt(bytes(12), inside, binding)

    before = seal_record(root.at(1), link, node, body, Seeded("older record"))
    longer = padded(pack(body) + b"\0")
    return [
        vector("record"),
        vector("record_under_a_former_key", generation=1, record=before),
        vector("record_of_another_generation", IntegrityError, generation=1),
        vector("record_of_no_generation", IntegrityError, generation=3),
        vector("record_of_another_link", IntegrityError, link=LinkId(bytes(16))),
        vector("record_of_another_node", IntegrityError, node=NodeId(bytes(16))),
        vector("record_changed", IntegrityError, record=_flipped(record, 20)),
        vector("record_empty", IntegrityError, record=b""),
        *(
            vector(f"record_{what}", IntegrityError, record=filled(inside))
            for what, inside in wrong_paddings(pack(body)).items()
        ),
        vector("record_bytes_behind_end", RemoteProtocolError, record=filled(longer)),
    ]


def _urls() -> list[Vector]:
    url = LinkUrl("https://files.example.org", OPEN)
    text = str(url)
    start, digits = text.split("#")

    def good(name: str, text: str, base: str = url.base) -> Vector:
        return {
            "name": name, "text": text, "base": base, "secret": OPEN.secret.hex(), "error": None,
        }  # fmt: skip

    def bad(name: str, text: str) -> Vector:
        return {
            "name": name, "text": text, "base": None, "secret": None, "error": UsageError.code,
        }  # fmt: skip

    wrapped = start.replace(":", "%3A").replace("/", "%2F") + "%23" + digits
    last = "AEIMQUYcgkosw048".index(digits[-1])
    return [
        good("url", text),
        good("url_with_a_port_and_a_path", f"http://[::1]:8080/files/l#{digits}",
             "http://[::1]:8080/files"),
        good("url_in_angle_brackets", f"<{text}>"),
        good("url_in_quotes", f'"{text}"'),
        good("url_with_blanks_and_line_ends", f"  {text[:30]}\r\n {text[30:]}\n"),
        good("url_percent_encoded", wrapped),
        good("url_percent_encoded_twice", wrapped.replace("%", "%25")),
        good("url_with_an_encoded_number_sign", text.replace("#", "%23")),
        good("url_inside_the_url_of_a_mail_filter",
             f"https://filter.example.com/?url={wrapped}&data=05%7C01"),
        good("url_with_a_parameter_before_the_fragment", f"{start}?utm_source=mail#{digits}"),
        good("url_with_a_parameter_after_the_fragment", f"{text}?fbclid=123"),
        good("url_with_an_html_parameter_after_the_fragment", f"{text}&amp;utm_medium=x"),
        good("url_with_a_full_stop", f"{text}."),
        good("url_with_a_slash_before_the_fragment", f"{start}/#{digits}"),
        bad("url_empty", ""),
        bad("url_of_another_scheme", text.replace("https", "ftp")),
        bad("url_without_fragment", start),
        bad("url_with_an_empty_fragment", f"{start}#"),
        bad("url_cut", text[:-1]),
        bad("url_with_a_character_more", text + "A"),
        bad("url_with_padding_bits", text[:-1] + chr(ord("AEIMQUYcgkosw048"[last]) + 1)),
        bad("url_of_something_else", f"https://files.example.org/x#{digits}"),
        bad("url_without_host", f"https:///l#{digits}"),
        bad("url_with_a_user", f"https://a:b@files.example.org/l#{digits}"),
        bad("url_of_an_impossible_port", f"https://files.example.org:99999/l#{digits}"),
    ]  # fmt: skip
