"""A soak of the WebSocket lesson's chat: clients that stay, come and go, stall, and send rubbish, all at once."""

import argparse
import asyncio
import contextlib
import json
import random
import struct
import urllib.request
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from tests.benchmarks.broadcast import joined_by_hand
from tests.benchmarks.standalone import memory, standalone

APP = "app_snippets.websockets.chat:app"
ROOMS = ("red", "green", "blue", "busy")
STAY = 3  # members of each room who listen from beginning to end, the sender among them
EVERY = 0.04  # seconds between a sender's messages; in the busy room a sixth of it
TEXT = "\N{BALLOON}" * 1_900  # what a message carries: 7.6 kB
STALL = 25.0  # seconds that a client does not read, at the most
WRITER = 10.0  # seconds after which the hub gives up a write that nobody reads


@dataclass
class Report:
    """What came of it. `lost` are messages that a member who stayed and read did not get, or got out of order."""

    delivered: int = 0
    lost: int = 0
    guests: Counter[str] = field(default_factory=Counter)  # how many came, by what they did
    closed_by_server: int = 0  # of those who stalled
    left_in_rooms: dict[str, int] = field(default_factory=dict)
    sockets_left: int = 0
    growth: float = 0.0  # MB of the server, from the end of the first quarter to the end


async def soak(seconds: float) -> Report:
    """Use the chat for some seconds, in a server process of its own, let everybody go, and look at what is left."""
    report = Report()
    with standalone(APP) as (port, pid):
        ended = asyncio.Event()
        sockets = _sockets(pid)
        async with asyncio.TaskGroup() as group:
            stayed = [group.create_task(_one_room(port, room, ended, report)) for room in ROOMS]
            for number in range(6):
                group.create_task(_for_ever(_comes_and_goes, port, ended, report, number))
            for number in range(3):
                group.create_task(_for_ever(_sends_rubbish, port, ended, report, 10 + number))
                group.create_task(_for_ever(_stalls, port, ended, report, 20 + number))
            await asyncio.sleep(seconds / 4)
            before = memory(pid)
            await asyncio.sleep(seconds * 3 / 4)
            ended.set()
            await asyncio.gather(*stayed)
        for _ in range(int(WRITER + 5) * 10):
            report.left_in_rooms = await asyncio.to_thread(_rooms, port)
            report.sockets_left = _sockets(pid) - sockets
            if not report.left_in_rooms and report.sockets_left <= 0:
                break
            await asyncio.sleep(0.1)
        report.growth = memory(pid) - before
    return report


async def _one_room(port: int, room: str, ended: asyncio.Event, report: Report) -> None:
    """A sender and those who listen with it: each must get all of its messages, in order."""
    sent = 0
    async with contextlib.AsyncExitStack() as stack:
        address = f"ws://127.0.0.1:{port}/rooms/{room}?name=stays{{}}"
        joined = [
            await stack.enter_async_context(connect(address.format(number), compression=None, max_queue=None))
            for number in range(STAY)
        ]
        numbers: list[list[int]] = [[] for _ in joined]

        async def listen(number: int) -> None:
            async for text in joined[number]:
                who, _, said = str(text).partition(": ")
                if who == "stays0":
                    numbers[number].append(int(said.split()[0]))

        listeners = [asyncio.create_task(listen(number)) for number in range(STAY)]
        while not ended.is_set():
            await joined[0].send(f"{sent} {TEXT}")
            sent += 1
            await asyncio.sleep(EVERY / (6 if room == "busy" else 1))
        for _ in range(100):
            if all(len(one) >= sent for one in numbers):
                break
            await asyncio.sleep(0.05)
        for listener in listeners:
            listener.cancel()
        await asyncio.gather(*listeners, return_exceptions=True)
    for got in numbers:
        report.delivered += len(got)
        report.lost += sum(one != expected for one, expected in zip(got, range(sent), strict=False)) + sent - len(got)


Guest = Callable[[int, random.Random, asyncio.Event, Report], Awaitable[str]]


async def _for_ever(guest: Guest, port: int, ended: asyncio.Event, report: Report, seed: int) -> None:
    chance = random.Random(seed)
    while not ended.is_set():
        with contextlib.suppress(OSError, EOFError, WebSocketException):  # the server may well have closed it
            report.guests[await guest(port, chance, ended, report)] += 1
        await asyncio.sleep(0.01)


async def _comes_and_goes(port: int, chance: random.Random, ended: asyncio.Event, report: Report) -> str:
    address = f"ws://127.0.0.1:{port}/rooms/{chance.choice(ROOMS)}?name=guest"
    async with connect(address, compression=None, max_queue=None) as client:
        for _ in range(chance.randrange(4)):
            await client.send("hello")
            await client.recv()
        await asyncio.sleep(chance.uniform(0, 0.2))
        if chance.random() < 0.5:
            client.transport.abort()
            return "left without a word"
    return "left"


async def _stalls(port: int, chance: random.Random, ended: asyncio.Event, report: Report) -> str:
    async with joined_by_hand(port, "busy") as (reader, _):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), chance.uniform(STALL / 2, STALL))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):  # now read what there is: does it end?
                while await reader.read(1 << 20):
                    pass
                report.closed_by_server += 1
    return "stalled"


async def _sends_rubbish(port: int, chance: random.Random, ended: asyncio.Event, report: Report) -> str:
    kind = chance.choice(list(RUBBISH))
    async with joined_by_hand(port, chance.choice(ROOMS)) as (_, writer):
        writer.write(RUBBISH[kind])
        await writer.drain()
        await asyncio.sleep(chance.uniform(0, 0.1))
    return kind


def _frame(opcode: int, payload: bytes, *, masked: bool = True) -> bytes:
    """One frame, as RFC 6455 section 5.2 lays it out, masked with zeros."""
    length = struct.pack("!BH", 126, len(payload)) if len(payload) > 125 else bytes([len(payload)])
    return bytes([0x80 | opcode, length[0] | (0x80 if masked else 0)]) + length[1:] + bytes(4 * masked) + payload


RUBBISH = {
    "bytes": _frame(2, b"\x00\xff" * 100),
    "too long": _frame(1, b"x" * 2_001),
    "no UTF-8": _frame(1, b"\xff\xfe\xfd"),
    "not masked": _frame(1, b"hello", masked=False),
    "an unknown opcode": _frame(11, b"hello"),
    "half a frame": _frame(1, b"x" * 1_000)[:50],
    "a fragment without end": bytes([0x01]) + _frame(1, b"hello")[1:],
    "many pings": _frame(9, b"ping") * 200,
    "no frame at all": b"GET / HTTP/1.1\r\n\r\n" * 20,
}


def _rooms(port: int) -> dict[str, int]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/rooms", timeout=5) as answer:
        counted: dict[str, int] = json.load(answer)
    return counted


def _sockets(pid: int) -> int:
    """How many files and sockets a process has open. 0 where the platform does not say."""
    files = Path(f"/proc/{pid}/fd")
    return len(list(files.iterdir())) if files.exists() else 0


def a_soak(seconds: float = 120) -> tuple[str, str, str]:
    """The line of the table. Asserts that nothing is lost and nothing is left."""
    report = asyncio.run(soak(seconds))
    assert report.lost == 0, f"{report.lost} messages were lost"
    assert not report.left_in_rooms, f"left in rooms: {report.left_in_rooms}"
    assert report.sockets_left <= 0, f"{report.sockets_left} sockets are left"
    return (
        f"hub soak of {seconds:.0f} s",
        f"{report.lost} lost",
        f"of {report.delivered:,}, with {sum(report.guests.values()):,} guests, {report.closed_by_server} of them "
        f"closed because they stalled; nobody and no socket left, memory {report.growth:+.1f} MB",
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120, help="how long (default: 120)")
    report = asyncio.run(soak(parser.parse_args().seconds))
    print(f"delivered to those who stayed   {report.delivered:,}, lost {report.lost}")
    print(f"guests                          {sum(report.guests.values()):,}")
    for what, count in report.guests.most_common():
        print(f"  {what:<30}{count:,}")
    print(f"stalled, and closed             {report.closed_by_server}")
    print(f"left in rooms, sockets          {report.left_in_rooms}, {report.sockets_left}")
    print(f"growth of the server's memory   {report.growth:.1f} MB")


if __name__ == "__main__":
    main()
