"""The client: signs in, keeps a socket to the gateway, and comes back when it is lost."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeVar

import betterproto2
from betterproto2.grpclib import ServiceStub
from worldmesh_messages.worldmesh.identity import v1 as identity

from . import _calls
from ._dialect import DialectName, dialect
from ._errors import ConnectionClosedError, ProtocolError, RequestError, WorldmeshError
from ._events import Event, EventQueue, Reconnected
from ._frames import (
    Chat,
    ClientBody,
    Correction,
    Emote,
    Hello,
    Join,
    Leave,
    Move,
    Ping,
    Position,
    Refresh,
    RoomEvent,
    RoomLeft,
    Roster,
    ServerBody,
    Snapshot,
    StateBatch,
    Unknown,
    Vec3,
    Welcome,
    Whisper,
)
from ._identity import RestIdentity, SignInMethods
from ._reconnect import Advice, ReconnectPolicy, advice
from ._session import Bot, Credentials, Guest, Password, Session
from ._socket import Socket

S = TypeVar("S", bound=ServiceStub)


@dataclass(frozen=True, slots=True)
class Options:
    """How a client connects.

    `dialect`: how frames are written. `socket_url`: the gateway's address; by default `/ws` of the address
    that signed in. `ca`: path of the certificate authority to trust instead of the system's. `device_name`:
    what the client says of itself, shown in presence and in the list of sessions. `events`: how many events
    wait for a slow reader before the oldest are dropped. `timeout`: seconds for opening a socket, and for
    every request. `identity`: how to sign in, if not over REST."""

    dialect: DialectName = "flatbuffers"
    socket_url: str | None = None
    ca: str | None = None
    device_name: str = "python"
    events: int = 4096
    timeout: float = 10.0
    reconnect: ReconnectPolicy = field(default_factory=ReconnectPolicy)
    identity: SignInMethods | None = None


DEFAULTS = Options()


class WorldmeshClient(_calls.Requester):
    """A client of one account. An async context manager: entering it connects, leaving it says goodbye.

    Requests raise RequestError when the server says no, ConnectionClosedError when the socket is lost under
    way, and TimeoutError. After a loss the client comes back by itself as the close code has it, goes on in its
    room with what it missed, and tells so by a Reconnected event; requests made meanwhile wait for the new
    socket. A Snapshot event tells that the room is to be looked at anew: something was missed for good."""

    def __init__(self, session: Session, socket_url: str, options: Options = DEFAULTS) -> None:
        self.session = session
        self._url = socket_url
        self._options = options
        self._dialect = dialect(options.dialect)
        self._tls = _tls(options.ca, socket_url)
        self._events = EventQueue(options.events)
        self._socket: Socket | None = None
        self._connected = asyncio.Event()
        self._failure: WorldmeshError | None = None
        self._welcome: Welcome | None = None
        self._room_id = ""
        self._seen: Position | None = None
        self._held: list[Event] | None = None
        self._reentry: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    # --------------------------------------------------------------------------------------- start and end

    @classmethod
    async def guest(cls, url: str, device_id: str | None = None, options: Options = DEFAULTS) -> Self:
        """Signs in as the guest of a device; without a device id as a new one. `url` is the REST address."""
        return await cls.sign_in(url, Guest(device_id) if device_id else Guest(), options)

    @classmethod
    async def password(cls, url: str, email: str, password: str, options: Options = DEFAULTS) -> Self:
        """Signs in with e-mail and password."""
        return await cls.sign_in(url, Password(email, password), options)

    @classmethod
    async def bot(cls, url: str, token: str, options: Options = DEFAULTS) -> Self:
        """Signs in with a bot token."""
        return await cls.sign_in(url, Bot(token), options)

    @classmethod
    async def sign_in(cls, url: str, credentials: Credentials, options: Options = DEFAULTS) -> Self:
        """Signs in; the socket opens when the client is entered. Raises RequestError."""
        methods = options.identity or RestIdentity(url, _tls(options.ca, url))
        session = Session(methods, credentials, options.device_name)
        try:
            await session.sign_in()
        except BaseException:
            await session.close()
            raise
        return cls(session, options.socket_url or _socket_url(url), options)

    async def __aenter__(self) -> Self:
        try:
            await self._connect()
        except BaseException:
            await self.session.close()
            raise
        self._run(self._stay())
        self._run(self._keep_token())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Says goodbye and ends the events."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._socket is not None:
            await self._socket.close()
        await self.session.close()
        self._fail(ConnectionClosedError(1000), None)

    # --------------------------------------------------------------------------------------- what one can do

    @property
    def account(self) -> identity.Account:
        """The account that is signed in."""
        return self.session.account

    @property
    def user_id(self) -> str:
        """The account's id."""
        return self.session.account.user_id

    @property
    def gateway_session_id(self) -> str:
        """The gateway's name for the newest socket."""
        return self._welcome.gateway_session_id if self._welcome else ""

    async def join(self, room_id: str) -> Snapshot:
        """Enters a room and returns it as it is; of a full room (`view_radius`) Roster events follow with the others. A
        session is in one room at a time."""
        self._seen = None
        snapshot = await self._ask(Join(room_id), Snapshot)
        self._room_id = room_id
        self._saw(snapshot.position)
        return snapshot

    async def leave(self) -> None:
        """Leaves the room."""
        await self.request(Leave())
        self._room_id = ""

    async def move(
        self, x: float, y: float, z: float, *, yaw: int = 0, animation: int = 0, values: bytes = b""
    ) -> None:
        """Says where the own avatar is, in metres, y up; `yaw` is in 65536ths of a turn, clockwise, 0 north.
        Not answered: a Correction event tells if the server disagrees. A step that falls into a loss of the
        socket is left out, for the next one is newer."""
        if self._connected.is_set():
            socket = await self._open_socket()
            with contextlib.suppress(ConnectionClosedError):
                await socket.send(Move(Vec3(x, y, z), yaw, animation, values))

    async def chat(self, text: str, client_message_id: str = "") -> None:
        """Says something to the room. What is repeated with its client_message_id is not delivered twice, on
        whichever socket."""
        await self.request(Chat(text, client_message_id))

    async def whisper(self, user_id: str, text: str, client_message_id: str = "") -> None:
        """Says something that only one member hears."""
        await self.request(Whisper(user_id, text, client_message_id))

    async def emote(self, emote_id: str, target_user_id: str = "", client_message_id: str = "") -> None:
        """Does an emote that the room sees."""
        await self.request(Emote(emote_id, target_user_id, client_message_id))

    async def ping(self) -> float:
        """Seconds to the gateway and back."""
        start = time.monotonic()
        await self.request(Ping(int(time.time() * 1000)))
        return time.monotonic() - start

    async def call(self, request: betterproto2.Message) -> Any:
        """Calls the RPC that takes this request and returns its response, typed Any: `stub` is the typed
        way."""
        stub, name = _calls.method_of(type(request))
        return await getattr(self.stub(stub), name)(request)

    def stub(self, kind: type[S]) -> S:
        """A service's stub whose calls go over the socket: `client.stub(WorldServiceStub).list_rooms(…)`."""
        return _calls.bind(kind, self)

    async def events(self) -> AsyncIterator[Event]:
        """What happens, in order, until the client is closed. Raises ConnectionClosedError when the socket is
        lost for good. One reader at a time."""
        while (event := await self._events.get()) is not None:
            yield event

    async def request(self, body: ClientBody) -> ServerBody | Unknown:
        """Sends a frame and waits for its answer, whatever it is."""
        async with asyncio.timeout(self._options.timeout):
            socket = await self._open_socket()
            return await socket.request(body)

    # --------------------------------------------------------------------------------------- underneath

    def _run(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Runs something beside the caller, until the client is closed at most."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _ask(self, body: ClientBody, kind: type[Snapshot]) -> Snapshot:
        answer = await self.request(body)
        if not isinstance(answer, kind):
            raise ProtocolError(f"{type(body).__name__} was answered with {type(answer).__name__}")
        return answer

    async def _open_socket(self) -> Socket:
        if self._socket is None:
            raise self._failure or WorldmeshError("not connected: enter the client with `async with`")
        await self._connected.wait()
        if self._failure is not None:
            raise self._failure
        return self._socket

    async def _connect(self) -> None:
        hello = Hello(self.session.access_token, self._options.device_name)
        async with asyncio.timeout(self._options.timeout):
            self._socket, self._welcome = await Socket.open(self._url, self._dialect, hello, self._take, tls=self._tls)
        self._connected.set()

    def _take(self, body: ServerBody | Unknown) -> None:
        if isinstance(body, RoomLeft):
            if body.reason == "ROOM_UNAVAILABLE" and self._options.reconnect.attempts and self._room_id:
                self._reentry = self._run(self._reenter(body))
                return
            self._room_id = ""
        if isinstance(body, RoomEvent | Snapshot | Unknown) and body.position is not None:
            self._saw(body.position)
        if isinstance(body, RoomEvent | StateBatch | Correction | RoomLeft | Snapshot | Roster):
            self._put(body)

    def _saw(self, position: Position) -> None:
        self._seen = position if self._seen is None else max(self._seen, position)

    def _put(self, event: Event) -> None:
        """Events that come while a room is entered again wait for the news that it is."""
        if self._held is None:
            self._events.put(event)
        else:
            self._held.append(event)

    def _back(self, event: Event) -> None:
        """Tells that something is back, and then what came meanwhile."""
        self._events.put(event)
        for held in self._held or ():
            self._events.put(held)
        self._held = None

    async def _reenter(self, left: RoomLeft) -> None:
        """Enters a room again that has lost its relay: another one takes it as soon as somebody asks."""
        policy, attempt = self._options.reconnect, 0
        while (delay := policy.delay(_ROOM_MOVED, attempt)) is not None and self._room_id == left.room_id:
            await asyncio.sleep(delay)
            try:
                self._held = []
                snapshot = await self._ask(Join(left.room_id, self._seen), Snapshot)
                self._saw(snapshot.position)
                self._back(Reconnected(None, snapshot))
                return
            except ConnectionClosedError:
                return  # coming back on another socket enters the room too
            except (RequestError, TimeoutError) as e:
                if isinstance(e, RequestError) and e.code != _UNAVAILABLE:
                    break
            attempt += 1
        self._room_id = ""
        self._back(left)

    async def _stay(self) -> None:
        """Comes back whenever the socket is lost, until it may not."""
        while self._socket is not None:
            lost = await self._socket.closed
            self._connected.clear()
            if self._reentry is not None:
                self._reentry.cancel()  # coming back on another socket enters the room too
            try:
                self._back(await self._come_back(lost))
            except WorldmeshError as e:
                self._fail(e, e)
                return

    async def _come_back(self, lost: ConnectionClosedError) -> Reconnected:
        cause: WorldmeshError = lost
        code, attempt = lost.code, 0
        while (delay := self._options.reconnect.delay(code, attempt)) is not None:
            await asyncio.sleep(delay)
            try:
                if advice(code) is Advice.NEW_TOKEN:
                    await self.session.renew(self.session.access_token)
                await self._connect()
                return Reconnected(lost.code, await self._rejoin())
            except ConnectionClosedError as e:
                cause, code = e, e.code
            except (RequestError, TimeoutError) as e:
                cause = e if isinstance(e, RequestError) else lost
                code = 4200 if isinstance(e, RequestError) and e.code == _UNAUTHENTICATED else 4102
            attempt += 1
        raise cause

    async def _rejoin(self) -> Snapshot | None:
        if not self._room_id or self._socket is None:
            return None
        self._held, attempt = [], 0
        while True:
            try:
                answer = await self._socket.request(Join(self._room_id, self._seen))
                break
            except RequestError as e:
                delay = self._options.reconnect.delay(_LATER, attempt) if e.code == _UNAVAILABLE else None
                if delay is None:
                    self._events.put(RoomLeft(self._room_id, e.reason))
                    self._room_id = ""
                    return None
            await asyncio.sleep(delay)
            attempt += 1
        if not isinstance(answer, Snapshot):
            return None
        self._saw(answer.position)
        return answer

    async def _keep_token(self) -> None:
        """Renews the access token well before it expires, and tells the gateway."""
        while self._welcome is not None and self._welcome.token_expires_in_ms:
            stale = self.session.access_token
            await asyncio.sleep(self._welcome.token_expires_in_ms / 1000 * 0.75)
            try:
                token = await self.session.renew(stale)
                await self.request(Refresh(token))
            except (WorldmeshError, TimeoutError):
                await asyncio.sleep(1.0)  # the socket's own end tells what is wrong, if it lasts

    def _fail(self, why: WorldmeshError, error: WorldmeshError | None) -> None:
        self._failure = why
        self._connected.set()
        self._events.close(error)


_UNAVAILABLE, _UNAUTHENTICATED = 14, 16  # gRPC codes
_ROOM_MOVED = 4000  # of the range that says: come back now
_LATER = 4100  # of the range that says: come back later


def _tls(ca: str | None, url: str) -> ssl.SSLContext | None:
    if not url.startswith(("https:", "wss:")):
        return None
    return ssl.create_default_context(cafile=ca)


def _socket_url(url: str) -> str:
    return "ws" + url.removeprefix("http").rstrip("/") + "/ws"
