"""The apps of "WebSockets", each served by itself, with hostile messages, and clients that stall and vanish."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from app_snippets.websockets.hub import Hub
from workbench.around import burst
from workbench.clock import until
from workbench.server import LiveServer, serve

FOLDER = "app_snippets.websockets"
LARGE = "𝄞" * 1_900  # 8 kB in UTF-8


class Client:
    """A client that notes what it hears."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.heard: list[str | bytes] = []

    async def read(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                self.heard.append(await self.socket.recv())

    @property
    def closed(self) -> tuple[int | None, str | None]:
        return self.socket.close_code, self.socket.close_reason


@contextlib.asynccontextmanager
async def client(server: LiveServer, room: str, name: str, *, reads: bool = True) -> AsyncIterator[Client]:
    address = f"{server.ws_url}/rooms/{quote(room, safe='')}?name={quote(name)}"
    async with connect(address, compression=None, max_queue=1, close_timeout=0.2, proxy=None) as socket:
        made = Client(socket)
        reading = asyncio.create_task(made.read() if reads else asyncio.sleep(0))
        yield made
        await socket.close()
        await reading


@pytest.fixture
async def server() -> AsyncIterator[LiveServer]:
    with serve(f"{FOLDER}.chat:app") as server:
        yield server
    assert not server.alive
    assert server.lost == []
    errors = [line for line in server.errors if "Invalid UTF-8" not in line]
    assert not errors  # uvicorn's own log of the UTF-8 that it refuses aside


async def test_the_page_is_served_with_relative_addresses_only(server: LiveServer) -> None:
    (call,) = (await burst(server, "/", 1)).calls
    text = call.body.decode()
    assert call.headers["content-type"] == "text/html; charset=utf-8"
    assert "innerHTML =" not in text
    assert not [address for address in ("http://", "https://", 'src="/', 'href="/') if address in text]


async def test_rooms_are_apart_and_the_sender_hears_itself(server: LiveServer) -> None:
    async with client(server, "red", "Ada") as ada, client(server, "blue", "Eve") as eve:
        async with client(server, "red", "Bob") as bob:
            await ada.socket.send("hello")
            assert await until(lambda: "Ada: hello" in ada.heard and "Ada: hello" in bob.heard)
        assert await until(lambda: "Bob has left" in ada.heard)
        assert ada.heard == ["Ada has joined", "Bob has joined", "Ada: hello", "Bob has left"]
        assert eve.heard == ["Eve has joined"]


@pytest.mark.parametrize(
    ("room", "name", "status"),
    [("red", "", 403), ("red", "x" * 31, 403), ("x" * 31, "Ada", 403), ("a/b", "Ada", 403)],
)
async def test_a_bad_room_or_name_is_refused_before_accept(
    server: LiveServer, room: str, name: str, status: int
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with client(server, room, name):
            pass
    assert refused.value.response.status_code == status


@pytest.mark.parametrize(
    ("message", "text", "code"),
    [
        ("x" * 2_001, True, 1009),
        ("x" * 1_000_000, True, 1009),
        (b"\x00\x01", False, 1003),
        (b"", False, 1003),
        (b"\xff\xfe", True, 1007),
    ],
)
async def test_hostile_messages_close_their_sender_only(
    server: LiveServer, message: str | bytes, text: bool, code: int
) -> None:
    async with client(server, "red", "Bob") as bob:
        async with client(server, "red", "Mallory") as mallory:
            await mallory.socket.send(message, text=text)
            assert await until(lambda: mallory.socket.close_code is not None)
        assert await until(lambda: "Mallory has left" in bob.heard)
        assert mallory.closed[0] == code
        await bob.socket.send("x" * 2_000)
        assert await until(lambda: len(bob.heard) == 4)
        assert bob.closed == (None, None)


async def test_markup_is_handed_on_as_it_is(server: LiveServer) -> None:
    async with client(server, "red", "<b>") as ada:
        await ada.socket.send("<script>alert(1)</script>\r\n\0")
        assert await until(lambda: len(ada.heard) == 2)
        assert ada.heard[1] == "<b>: <script>alert(1)</script>\r\n\0"


async def test_raw_rubbish_after_the_handshake_harms_nobody(server: LiveServer) -> None:
    async with client(server, "red", "Bob") as bob:
        for rubbish in (b"\xff" * 50, b"GET / HTTP/1.1\r\n\r\n", b"\x81\x05hello", b"\x8f\x80\0\0\0\0"):
            async with client(server, "red", "Mallory") as mallory:
                mallory.socket.transport.write(rubbish)
                assert await until(lambda mallory=mallory: mallory.socket.close_code is not None)
        assert await until(lambda: bob.heard.count("Mallory has left") == 4)
        assert bob.closed == (None, None)


async def test_clients_that_vanish_leave_their_rooms() -> None:
    with serve(f"{FOLDER}.chat:app") as server:
        async with client(server, "red", "Ada") as ada:
            for number in range(10):
                async with client(server, "red", f"guest {number}") as guest:
                    await guest.socket.send("hi")
                    if number % 2:
                        guest.socket.transport.abort()
                await ada.socket.send(str(number))
            own = [f"Ada: {number}" for number in range(10)]
            assert await until(lambda: sum("has left" in str(text) for text in ada.heard) == 10)
            assert await until(lambda: [text for text in ada.heard if str(text).startswith("Ada: ")] == own)
    assert not server.errors


async def test_a_slow_client_is_closed_and_the_others_hear_everything(server: LiveServer) -> None:
    many = 1_200
    async with (
        client(server, "red", "Slow", reads=False) as slow,
        client(server, "red", "Bob") as bob,
        client(server, "red", "Ada") as ada,
    ):
        for number in range(many):
            await ada.socket.send(f"{number} {LARGE}")
            assert await until(lambda number=number: min(len(ada.heard), len(bob.heard)) > number - 16)
        assert await until(lambda: sum(LARGE in str(text) for text in bob.heard) == many)
        await asyncio.wait_for(slow.read(), 5)
        assert slow.closed == (1013, "too slow")
        assert len(slow.heard) < many
        assert [str(text).split()[1] for text in bob.heard if LARGE in str(text)] == [str(one) for one in range(many)]


class Deaf:
    """A WebSocket whose sends never end."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    async def send_text(self, text: str) -> None:
        self.sent.append(text)
        await asyncio.Event().wait()

    async def close(self, code: int, reason: str) -> None:
        await asyncio.Event().wait()


async def test_a_client_that_takes_nothing_is_given_up() -> None:
    hub = Hub(size=2, timeout=0.05)
    deaf = Deaf()
    async with hub.joined("red", deaf):  # type: ignore[arg-type]
        hub.publish("red", "one")
        await asyncio.Event().wait()  # ended by the writer
    assert hub.rooms == {}
    assert deaf.sent == ["one"]


async def test_publishing_never_waits_and_leaving_twice_is_harmless() -> None:
    hub, before = Hub(size=2, timeout=0.05), len(asyncio.all_tasks())
    async with hub.joined("red", Deaf()) as member:  # type: ignore[arg-type]
        assert hub.rooms == {"red": {member}}
        for number in range(5):
            hub.publish("red", str(number))
        hub.publish("nowhere", "nobody")
        assert hub.rooms == {}
        hub.leave("red", member)
        hub.leave("red", member)
        hub.leave("never", member)
    assert hub.rooms == {}
    assert len(asyncio.all_tasks()) == before


async def test_an_error_of_the_block_is_not_hidden() -> None:
    hub = Hub()
    with pytest.raises(ExceptionGroup) as raised:
        async with hub.joined("red", Deaf()):  # type: ignore[arg-type]
            raise RuntimeError("a bug")
    assert isinstance(raised.value.exceptions[0], RuntimeError)
    assert hub.rooms == {}


async def test_a_cancelled_block_leaves() -> None:
    hub = Hub()

    async def stay() -> None:
        async with hub.joined("red", Deaf()):  # type: ignore[arg-type]
            await asyncio.Event().wait()

    task = asyncio.create_task(stay())
    await asyncio.sleep(0.01)
    assert list(hub.rooms) == ["red"]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert hub.rooms == {}


async def test_the_wrong_manager_tells_every_room() -> None:
    with serve(f"{FOLDER}.wrong_manager:app") as server:
        async with client(server, "red", "Ada") as ada, client(server, "blue", "Eve") as eve:
            await ada.socket.send("secret")
            assert await until(lambda: eve.heard == ["Ada: secret"])
