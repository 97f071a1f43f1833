"""`python -m worldmesh_client`: enters a room as a guest and prints what happens."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys

from . import (
    ChatMessage,
    EmoteMessage,
    Event,
    MemberJoined,
    MemberLeft,
    Missed,
    Options,
    Reconnected,
    RoomEvent,
    RoomLeft,
    Roster,
    Snapshot,
    WhisperMessage,
    WorldmeshClient,
    WorldmeshError,
)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m worldmesh_client", description=__doc__)
    parser.add_argument(
        "--url", default="http://localhost:8080", help="REST address, http:// or https:// (default: %(default)s)"
    )
    parser.add_argument("--socket-url", help="gateway address (default: /ws of the REST address)")
    parser.add_argument("--ca", help="path of the certificate authority to trust, for https:// and wss://")
    parser.add_argument("--room", default="room_plaza", help="room to enter (default: %(default)s)")
    parser.add_argument("--dialect", choices=["flatbuffers", "json"], default="flatbuffers")
    parser.add_argument("--device-id", help="come back as this guest; keep it secret")
    parser.add_argument("--say", action="append", default=[], help="say this on entering; may be repeated")
    parser.add_argument("--seconds", type=float, help="leave after so long (default: stay)")
    return parser.parse_args()


def _line(event: Event, names: dict[int, str]) -> str | None:
    """The event for people; None if it is not worth a line."""
    match event:
        case RoomEvent(body=MemberJoined(member)):
            names[member.state.entity] = member.user.username
            return f"* {member.user.username} comes in"
        case RoomEvent(body=MemberLeft(entity, user_id)):
            return f"* {names.pop(entity, user_id)} leaves"
        case Roster(members):
            names |= {m.state.entity: m.user.username for m in members}
            return None
        case RoomEvent(body=ChatMessage(sender, text)):
            return f"<{sender.username}> {text}"
        case RoomEvent(body=WhisperMessage(sender, _, text)):
            return f"[{sender.username} whispers] {text}"
        case RoomEvent(body=EmoteMessage(sender, emote_id)):
            return f"* {sender.username}: {emote_id}"
        case RoomLeft(room_id, reason):
            return f"! {room_id} ended: {reason}"
        case Missed(count):
            return f"! {count} events were missed"
        case Reconnected(code):
            return f"! back again, after {'the room moved' if code is None else f'close code {code}'}"
        case _:
            return None


def _show(room: Snapshot) -> dict[int, str]:
    names = {m.state.entity: m.user.username for m in room.members}
    print(f"{room.display_name or room.room_id}: {', '.join(names.values())}", flush=True)
    return names


async def _run(args: argparse.Namespace) -> None:
    options = Options(dialect=args.dialect, socket_url=args.socket_url, ca=args.ca)
    async with await WorldmeshClient.guest(args.url, args.device_id, options) as me:
        names = _show(await me.join(args.room))
        for text in args.say:
            await me.chat(text)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(args.seconds):
                async for event in me.events():
                    if line := _line(event, names):
                        print(line, flush=True)
        await me.leave()


def main() -> int:
    """Returns the exit status: 1 if the server said no or went away."""
    try:
        asyncio.run(_run(_arguments()))
    except (WorldmeshError, OSError) as e:
        print(f"{e}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
