"""REST at the edge where it is more than JSON for Protobuf: what stands in the path, the query and the body."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from ulid import ULID

from tests.support.world import Guest, World

ROOM = {"display_name": "Old", "description": "old", "capacity": 7, "settings": {"width": 12.5, "max_speed": 3.5}}


@pytest.fixture
def owner(world: World) -> Guest:
    return world.guest()


@pytest.fixture
def room(world: World, owner: Guest) -> dict[str, Any]:
    """A room of the owner's."""
    body = {"room": ROOM, "request_id": str(ULID())}
    made: dict[str, Any] = httpx.post(f"{world.rest}/v1/rooms", json=body, headers=owner.headers).json()["room"]
    return made


def patch(world: World, owner: Guest, room: dict[str, Any], change: dict[str, Any], **query: str) -> httpx.Response:
    """Change a room; the body is the room, and everything else of the request stands in path and query."""
    return httpx.patch(f"{world.rest}/v1/rooms/{room['room_id']}", json=change, params=query, headers=owner.headers)


def reason(response: httpx.Response) -> tuple[int, str]:
    """Status and reason of a refusal."""
    return response.status_code, response.json()["details"][0]["reason"]


def test_a_patch_changes_what_the_mask_in_the_query_names(world: World, owner: Guest, room: dict[str, Any]) -> None:
    change = {"display_name": "New", "description": "not named", "settings": {"width": 99, "max_speed": 7}}
    answer = patch(world, owner, room, change, update_mask="display_name,settings.max_speed")
    assert answer.status_code == 200, answer.text
    changed = answer.json()["room"]
    assert changed == httpx.get(f"{world.rest}/v1/rooms/{room['room_id']}", headers=owner.headers).json()["room"]
    assert (changed["display_name"], changed["settings"]["max_speed"]) == ("New", 7)
    assert (changed["description"], changed["capacity"], changed["settings"]["width"]) == ("old", 7, 12.5)


def test_a_patch_takes_the_masks_json_name_too(world: World, owner: Guest, room: dict[str, Any]) -> None:
    answer = patch(world, owner, room, {"display_name": "New"}, updateMask="displayName")
    assert answer.status_code == 200, answer.text
    assert answer.json()["room"]["display_name"] == "New"


def test_a_patch_without_a_mask_or_with_one_that_names_nothing_is_refused(
    world: World, owner: Guest, room: dict[str, Any]
) -> None:
    change = {"display_name": "New"}
    assert reason(patch(world, owner, room, change)) == (400, "INVALID_FIELD")
    assert reason(patch(world, owner, room, change, update_mask="owner_id")) == (400, "INVALID_UPDATE_MASK")
    assert reason(patch(world, owner, room, change, no_such_field="x")) == (400, "PAYLOAD_MALFORMED")


def test_a_patch_of_a_room_that_has_changed_since_is_refused(world: World, owner: Guest, room: dict[str, Any]) -> None:
    change = {"display_name": "New", "etag": room["etag"]}
    assert patch(world, owner, room, change, update_mask="display_name").status_code == 200
    assert reason(patch(world, owner, room, change, update_mask="display_name")) == (409, "ETAG_MISMATCH")


def test_a_patch_of_somebody_elses_room_is_refused(world: World, room: dict[str, Any]) -> None:
    thief = world.guest()
    change = {"display_name": "Mine"}
    assert reason(patch(world, thief, room, change, update_mask="display_name")) == (403, "ROOM_ROLE_REQUIRED")
