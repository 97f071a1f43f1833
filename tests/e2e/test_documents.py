"""The programs in the documents do what is said of them."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

from worldmesh_client import ChatMessage, MemberJoined

from .people import Person, Places, person

ROOT = Path(__file__).resolve().parents[2]


def program(page: str, number: int, places: Places) -> str:
    """A Python block of a page, with the world under test in the place of the usual one."""
    blocks = re.findall(r"^```python\n(.*?)^```$", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    code: str = blocks[number]
    assert "http://localhost:8080" in code
    return code.replace("http://localhost:8080", places.rest)


async def run_beside(code: str, ann: Person) -> asyncio.subprocess.Process:
    """Starts a program while somebody is in the plaza."""
    await ann.join("room_plaza")
    return await asyncio.create_subprocess_exec(sys.executable, "-u", "-c", code, stdout=asyncio.subprocess.PIPE)


async def test_the_readme_s_bot_says_hello(places: Places) -> None:
    async with person(places) as ann:
        bot = await run_beside(program("README.md", 0, places), ann)
        try:
            await ann.until(lambda me: "hello" in [c.text for c in me.bodies(ChatMessage)], "hello")
            assert bot.stdout is not None
            assert b"RoomEvent" in await asyncio.wait_for(bot.stdout.readline(), 10)
        finally:
            bot.kill()
            await bot.wait()


async def test_the_client_page_s_bot_answers(places: Places) -> None:
    async with person(places, 1, "json") as ann:
        bot = await run_beside(program("docs/python-client.md", 0, places), ann)
        try:
            await ann.until(lambda me: bool(me.bodies(MemberJoined)), "the bot")
            await ann.client.chat("anybody?")
            answer = f"{ann.name} said anybody?"
            await ann.until(lambda me: answer in [c.text for c in me.bodies(ChatMessage)], "the answer")
        finally:
            bot.kill()
            await bot.wait()
