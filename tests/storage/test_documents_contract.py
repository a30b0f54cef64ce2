"""PrivateStore, VcardStore and SecretStore: what each engine promises about what it keeps without looking inside."""

from __future__ import annotations

import asyncio

import pytest

from xmppd.storage.interfaces import PrivateFull, Stores, Vcard


async def test_private_xml_is_kept_by_name_and_namespace(stores: Stores, owner: int, other: int) -> None:
    entries = [
        ("storage", "storage:bookmarks", b"<storage xmlns='storage:bookmarks'>\xc3\xbc</storage>"),
        ("storage", "storage:rosternotes", b"<storage xmlns='storage:rosternotes'/>"),
        ("roundcube", "storage:bookmarks", b""),
    ]
    await stores.private.put(owner, entries)
    for name, space, element in entries:
        assert await stores.private.get(owner, name, space) == element
        assert await stores.private.get(other, name, space) is None
        assert await stores.private.get(owner, space, name) is None


async def test_private_xml_is_replaced(stores: Stores, owner: int) -> None:
    await stores.private.put(owner, [("a", "x", b"1"), ("b", "x", b"1")])
    await stores.private.put(owner, [("a", "x", b"2"), ("a", "x", b"3")])
    assert await stores.private.get(owner, "a", "x") == b"3"
    assert await stores.private.get(owner, "b", "x") == b"1"


async def test_private_xml_has_a_limit(stores: Stores, owner: int, other: int) -> None:
    await stores.private.put(owner, [("a", "x", b"1"), ("a", "y", b"1")], limit=2)
    await stores.private.put(other, [("a", "x", b"1")], limit=2)
    with pytest.raises(PrivateFull):
        await stores.private.put(owner, [("a", "x", b"2"), ("b", "x", b"2")], limit=2)
    assert await stores.private.get(owner, "a", "x") == b"1"
    assert await stores.private.get(owner, "b", "x") is None
    await stores.private.put(owner, [("a", "x", b"3")], limit=1)  # a limit that came later
    assert await stores.private.get(owner, "a", "x") == b"3"
    await stores.private.put(owner, [("b", "x", b"3")])


async def test_the_hash_of_a_photo_is_read_by_itself(stores: Stores, owner: int, other: int) -> None:
    assert await stores.vcards.photo_hash(owner) is None
    await stores.vcards.put(owner, Vcard(b"<vCard/>", "da39a3ee5e6b4b0d3255bfef95601890afd80709"))
    assert await stores.vcards.photo_hash(owner) == "da39a3ee5e6b4b0d3255bfef95601890afd80709"
    await stores.vcards.put(owner, Vcard(b"<vCard/>"))
    assert await stores.vcards.photo_hash(owner) == ""
    assert await stores.vcards.photo_hash(other) is None


async def test_a_vcard_is_replaced(stores: Stores, owner: int, other: int) -> None:
    assert await stores.vcards.get(owner) is None
    await stores.vcards.put(owner, Vcard(b"<vCard/>", "da39a3ee5e6b4b0d3255bfef95601890afd80709"))
    assert await stores.vcards.get(owner) == Vcard(b"<vCard/>", "da39a3ee5e6b4b0d3255bfef95601890afd80709")
    large = Vcard(b"<vCard>" + b"x" * 200_000 + b"</vCard>")
    await stores.vcards.put(owner, large)
    assert await stores.vcards.get(owner) == large
    assert await stores.vcards.get(other) is None


async def test_a_secret_is_made_once(stores: Stores) -> None:
    secret = await stores.secrets.get("caps", size=48)
    assert len(secret) == 48
    assert await stores.secrets.get("caps", size=48) == secret
    other = await stores.secrets.get("dialback")
    assert len(other) == 32
    assert other != secret[:32]


async def test_a_secret_cannot_be_had_with_another_size(stores: Stores) -> None:
    await stores.secrets.get("caps", size=32)
    with pytest.raises(ValueError, match=r"'caps'.*32 bytes.*16"):
        await stores.secrets.get("caps", size=16)


async def test_many_who_ask_for_a_secret_at_once_get_the_same(stores: Stores) -> None:
    for round_ in range(10):
        name = f"secret{round_}"
        assert len(set(await asyncio.gather(*(stores.secrets.get(name) for _ in range(20))))) == 1
