"""worldmesh.world.v1.WorldService: translate, call, translate."""

from __future__ import annotations

from datetime import datetime, timedelta

import grpc
from google.protobuf.message import Message
from worldmesh.common.v1.avatar_pb2 import Position as PositionMessage
from worldmesh.world.v1 import world_service_pb2 as pb
from worldmesh.world.v1 import world_service_pb2_grpc as rpc
from worldmesh_kit import PageTokens, current_caller

from .domain.model import AccessPolicy, Position, Role, RoleGrant, Room, RoomDraft, RoomSettings
from .domain.world import World

Context = grpc.aio.ServicerContext[Message, Message]

_SHARED_FOR = timedelta(seconds=2)
"""How long a gateway may admit others by one answer: so long a change of a room's access may be overlooked."""


class WorldServicer(rpc.WorldServiceServicer):
    """The RPCs of world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._room_pages = PageTokens("ListRooms", datetime, str)
        self._role_pages = PageTokens("ListRoomRoles", str)

    async def CreateRoom(self, request: pb.CreateRoomRequest, context: Context) -> pb.CreateRoomResponse:
        room = await self._world.create(_user_id(), _draft(request.room), request.request_id)
        return pb.CreateRoomResponse(room=_room(room))

    async def GetRoom(self, request: pb.GetRoomRequest, context: Context) -> pb.GetRoomResponse:
        return pb.GetRoomResponse(room=_room(await self._world.get(request.room_id, _user_id())))

    async def ListRooms(self, request: pb.ListRoomsRequest, context: Context) -> pb.ListRoomsResponse:
        user_id = _user_id()
        rooms, next_token = await self._room_pages.page(
            request,
            # Who asks is a part of the query: the caller's own rooms are listed whole.
            {"owner": request.owner_id, "prefix": request.name_prefix, "own": request.owner_id == user_id},
            lambda before, limit: self._world.list(
                user_id=user_id,
                owner_id=request.owner_id,
                name_prefix=request.name_prefix,
                before=before,
                limit=limit,
            ),
            lambda room: (room.create_time, room.room_id),
        )
        return pb.ListRoomsResponse(rooms=[_room(r) for r in rooms], next_page_token=next_token)

    async def UpdateRoom(self, request: pb.UpdateRoomRequest, context: Context) -> pb.UpdateRoomResponse:
        room = request.room
        changed = await self._world.update(
            _user_id(), room.room_id, _draft(room), list(request.update_mask.paths), room.etag
        )
        return pb.UpdateRoomResponse(room=_room(changed))

    async def DeleteRoom(self, request: pb.DeleteRoomRequest, context: Context) -> pb.DeleteRoomResponse:
        await self._world.delete(_user_id(), request.room_id, request.etag)
        return pb.DeleteRoomResponse()

    async def SetRoomRole(self, request: pb.SetRoomRoleRequest, context: Context) -> pb.SetRoomRoleResponse:
        await self._world.set_role(_user_id(), request.room_id, request.user_id, Role(request.role))
        return pb.SetRoomRoleResponse()

    async def ListRoomRoles(self, request: pb.ListRoomRolesRequest, context: Context) -> pb.ListRoomRolesResponse:
        user_id, room_id = _user_id(), request.room_id
        grants, next_token = await self._role_pages.page(
            request,
            {"room": room_id},
            lambda after, limit: self._world.list_roles(user_id, room_id, after[0] if after else "", limit),
            lambda grant: (grant.user_id,),
        )
        return pb.ListRoomRolesResponse(grants=[_grant(g) for g in grants], next_page_token=next_token)

    async def AuthorizeEntry(self, request: pb.AuthorizeEntryRequest, context: Context) -> pb.AuthorizeEntryResponse:
        entry = await self._world.authorize_entry(request.room_id, request.user_id)
        response = pb.AuthorizeEntryResponse(
            role=_role(entry.role),
            capacity=entry.room.capacity,
            settings=_settings(entry.room.settings.filled()),
            display_name=entry.room.display_name,
            named_user_ids=entry.named_user_ids,
        )
        if entry.shared:
            response.shared_for.FromTimedelta(_SHARED_FOR)
        return response

    async def AdvanceEra(self, request: pb.AdvanceEraRequest, context: Context) -> pb.AdvanceEraResponse:
        return pb.AdvanceEraResponse(era=await self._world.advance_era(request.after))


def _user_id() -> str:
    user = current_caller().user
    return user.user_id if user else ""


def _draft(room: pb.Room) -> RoomDraft:
    settings = room.settings
    spawn = Position(settings.spawn.x, settings.spawn.y, settings.spawn.z) if settings.HasField("spawn") else None
    return RoomDraft(
        display_name=room.display_name,
        description=room.description,
        access_policy=AccessPolicy(room.access_policy) if room.access_policy else None,
        capacity=room.capacity,
        settings=RoomSettings(
            width=settings.width,
            depth=settings.depth,
            tick_hz=settings.tick_hz,
            max_speed=settings.max_speed,
            spawn=spawn,
        ),
    )


def _room(room: Room) -> pb.Room:
    message = pb.Room(
        room_id=room.room_id,
        owner_id=room.owner_id,
        display_name=room.display_name,
        description=room.description,
        access_policy=pb.AccessPolicy.ValueType(room.access_policy.value),
        capacity=room.capacity,
        settings=_settings(room.settings.filled()),
        etag=room.etag,
    )
    message.create_time.FromDatetime(room.create_time)
    message.update_time.FromDatetime(room.update_time)
    return message


def _settings(settings: RoomSettings) -> pb.RoomSettings:
    spawn = settings.spawn or Position()
    return pb.RoomSettings(
        width=settings.width,
        depth=settings.depth,
        tick_hz=settings.tick_hz,
        max_speed=settings.max_speed,
        spawn=PositionMessage(x=spawn.x, y=spawn.y, z=spawn.z),
    )


def _role(role: Role) -> pb.RoomRole.ValueType:
    return pb.RoomRole.ValueType(role.value)


def _grant(grant: RoleGrant) -> pb.RoomRoleGrant:
    message = pb.RoomRoleGrant(user_id=grant.user_id, role=_role(grant.role), granted_by=grant.granted_by)
    message.grant_time.FromDatetime(grant.grant_time)
    return message
