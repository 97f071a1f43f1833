"""Who is in a room, and who of them is in sight, by the events of a client."""

from __future__ import annotations

from ._events import Event, Reconnected
from ._frames import EntityState, Member, MemberJoined, MemberLeft, RoomEvent, Roster, Snapshot, StateBatch, User


class RoomView:
    """The room as its client knows it. Give it the snapshot that `join` returns, and then every event.

    In a room of up to 128 members everybody is in sight; in a fuller one those around. `users`: who is in, by entity.
    `states` and `values`: of those in sight, by entity; an entity may be in sight before it is known whose it is."""

    def __init__(self) -> None:
        self.self_entity = 0
        self.users: dict[int, User] = {}
        self.states: dict[int, EntityState] = {}
        self.values: dict[int, bytes] = {}

    def take(self, event: Event) -> None:
        """Takes what has happened."""
        match event:
            case Snapshot():
                self._enter(event)
            case Reconnected(snapshot=Snapshot() as snapshot):
                self._enter(snapshot)
            case Roster(members):
                self.users |= {m.state.entity: m.user for m in members}
            case StateBatch():
                self._see(event)
            case RoomEvent(body=MemberJoined(member, out_of_sight)):
                self.users[member.state.entity] = member.user
                if not out_of_sight and member.state.entity not in self.states:  # states are newer
                    self._show(member)
            case RoomEvent(body=MemberLeft(entity)):
                self.users.pop(entity, None)
                self._lose(entity)

    def _enter(self, room: Snapshot) -> None:
        if not room.view_radius or not room.resumed or room.gap or room.self_entity != self.self_entity:
            self.users.clear()
        self.self_entity = room.self_entity
        self.states.clear()
        self.values.clear()
        for member in room.members:
            self._show(member)

    def _show(self, member: Member) -> None:
        entity = member.state.entity
        self.users[entity], self.states[entity] = member.user, member.state
        if member.values:
            self.values[entity] = member.values

    def _see(self, batch: StateBatch) -> None:
        for entity in {*self.states} if batch.anew else set(batch.gone):
            if entity != self.self_entity:
                self._lose(entity)
        self.states |= {s.entity: s for s in batch.states}
        self.values |= {v.entity: v.values for v in batch.values}

    def _lose(self, entity: int) -> None:
        self.states.pop(entity, None)
        self.values.pop(entity, None)
