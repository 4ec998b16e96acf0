"""A short soak of the chat; `make bench` runs the long one."""

from tests.benchmarks.soak import RUBBISH, soak


async def test_those_who_stay_lose_nothing_and_nobody_is_left() -> None:
    report = await soak(5)
    assert report.delivered > 50  # a slow machine delivers few in five seconds
    assert report.lost == 0
    assert report.left_in_rooms == {}
    assert report.sockets_left <= 0
    assert report.growth < 30
    assert {"left", "left without a word", "stalled"} <= report.guests.keys()
    assert len(RUBBISH.keys() & report.guests.keys()) >= 3
