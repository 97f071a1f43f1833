"""Two people in real browsers: they see each other walk and talk."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, WebSocketRoute, expect, sync_playwright

from tests.support.world import World

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
]
SHOTS = Path(__file__).resolve().parents[2] / ".build/screenshots"
PATIENCE = 15_000


@dataclass
class Person:
    """Somebody in a browser of their own."""

    context: BrowserContext
    page: Page
    problems: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.page.locator("#username").inner_text()

    def enter(self, room: str) -> None:
        self.page.locator("#enter").click()
        self.page.locator(f'[data-room="{room}"]').click()
        expect(self.page.locator("#room")).to_be_visible(timeout=PATIENCE)

    def sees(self, name: str) -> dict[str, float] | None:
        """Where this person sees somebody."""
        return cast("dict[str, float] | None", self.page.evaluate("name => window.worldmesh.avatar(name)", name))

    def until(self, condition: Callable[[], bool], what: str) -> None:
        for _ in range(PATIENCE // 50):
            if condition():
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"not seen: {what}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    assert chromium, "install Debian's chromium: `make test` does so when it runs as root"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def people(browser: Browser, world: World) -> Iterator[tuple[Person, Person]]:
    both = tuple(_person(browser, world) for _ in range(2))
    yield cast("tuple[Person, Person]", both)
    SHOTS.mkdir(parents=True, exist_ok=True)
    for number, person in enumerate(both):
        if not person.page.is_closed():
            person.page.screenshot(path=SHOTS / f"person-{number}.png")
        person.context.close()


def _person(browser: Browser, world: World) -> Person:
    return _window(browser.new_context(viewport={"width": 1100, "height": 700}), world)


def _window(context: BrowserContext, world: World) -> Person:
    page = context.new_page()
    person = Person(context, page)
    page.on("console", lambda m: person.problems.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: person.problems.append(str(error)))
    page.goto(world.addresses["web"])
    return person


def test_two_people_see_each_other_walk_and_talk(people: tuple[Person, Person]) -> None:
    ann, ben = people
    ann.enter("room_plaza")
    ben.enter("room_plaza")
    ann.until(lambda: ann.sees(ben.name) is not None, "Ben comes in")
    expect(ann.page.locator("#members")).to_contain_text(ben.name)

    start = ann.sees(ben.name)
    assert start is not None
    ben.page.keyboard.down("d")
    ben.page.wait_for_timeout(600)
    ben.page.keyboard.up("d")

    def arrived() -> bool:
        seen, true = ann.sees(ben.name), ben.page.evaluate("() => window.worldmesh.place")
        return seen is not None and abs(seen["x"] - true["x"]) < 0.01 and true["x"] > start["x"] + 1

    ann.until(arrived, "Ben where he walked to")

    ben.page.locator("#text").fill("hello from Ben")
    ben.page.locator("#text").press("Enter")
    for person in people:
        expect(person.page.locator("#log")).to_contain_text("hello from Ben", timeout=PATIENCE)
    ann.page.locator("#members button", has_text=ben.name).click()
    ann.page.locator("#text").fill("<b>psst</b>")
    ann.page.locator("#text").press("Enter")
    expect(ben.page.locator("#log .whisper")).to_have_text(f"{ann.name} whispers to you: <b>psst</b>", timeout=PATIENCE)
    expect(ann.page.locator("#log .whisper")).to_have_text(f"{ann.name} whispers to {ben.name}: <b>psst</b>")
    ann.page.locator('[data-emote="wave"]').click()
    ann.page.wait_for_timeout(300)
    SHOTS.mkdir(parents=True, exist_ok=True)
    ann.page.screenshot(path=SHOTS / "plaza.png")
    assert float(ann.page.locator("#latency").inner_text().split()[0]) > 0

    ben.page.locator("#leave").click()
    ann.until(lambda: ann.sees(ben.name) is None, "Ben gone")
    expect(ann.page.locator("#log")).to_contain_text(f"{ben.name} left.")
    assert ann.problems == []
    assert ben.problems == []


def test_a_second_window_of_the_same_browser_is_a_second_person(people: tuple[Person, Person], world: World) -> None:
    ann, _ = people
    other = _window(ann.context, world)
    ann.enter("room_garden")
    other.enter("room_garden")
    assert ann.name != other.name
    ann.until(lambda: ann.sees(other.name) is not None and other.sees(ann.name) is not None, "both in the room")
    other.page.locator("#text").fill("hello myself")
    other.page.locator("#text").press("Enter")
    for person in (ann, other):
        expect(person.page.locator("#log")).to_contain_text("hello myself", timeout=PATIENCE)
        expect(person.page.locator("#room")).to_be_visible()
        assert person.problems == []


def test_rooms_that_can_not_be_listed_can_be_asked_for_again(people: tuple[Person, Person]) -> None:
    ann, _ = people
    ann.page.route("**/v1/rooms?*", lambda route: route.abort())
    ann.page.locator("#enter").click()
    expect(ann.page.locator("#rooms")).to_contain_text("The server does not answer right now.")
    ann.page.locator("#rooms button").click()
    expect(ann.page.locator("#rooms button")).to_be_enabled()
    ann.page.unroute("**/v1/rooms?*")
    ann.page.locator("#rooms button", has_text="Try again").click()
    ann.page.locator('[data-room="room_garden"]').click()
    expect(ann.page.locator("#room")).to_be_visible(timeout=PATIENCE)


def test_a_guest_is_the_same_after_a_reload(people: tuple[Person, Person]) -> None:
    ann, _ = people
    ann.enter("room_garden")
    name = ann.name
    ann.page.reload()
    ann.page.locator("#enter").click()
    expect(ann.page.locator("#username")).to_have_text(name)


def test_a_private_room_of_ones_own_is_for_oneself(people: tuple[Person, Person]) -> None:
    ann, ben = people
    ann.page.locator("#enter").click()
    ann.page.locator("#room-name").fill("Hideout")
    ann.page.locator("#room-private").check()
    ann.page.locator("#create button").click()
    expect(ann.page.locator("#place")).to_have_text("Hideout", timeout=PATIENCE)
    ben.page.locator("#enter").click()
    expect(ben.page.locator("#rooms")).to_contain_text("The Plaza")
    expect(ben.page.locator("#rooms")).not_to_contain_text("Hideout")


def test_the_page_comes_back_when_its_gateway_dies(people: tuple[Person, Person], world: World) -> None:
    ann, ben = people
    ann.enter("room_rooftop")
    ben.enter("room_rooftop")
    for name, pid in world.where["pids"].items():
        if name.startswith("gateway-"):
            os.kill(pid, signal.SIGKILL)
    state = "() => window.worldmesh.state"
    ann.until(lambda: ann.page.evaluate(state) != "online", "the loss")
    ann.until(lambda: ann.page.evaluate(state) == "online", "the return")
    ann.until(lambda: ben.sees(ann.name) is not None and ann.sees(ben.name) is not None, "both back in the room")
    for person in people:
        expect(person.page.locator("#log")).to_contain_text("You are back.", timeout=PATIENCE)
        expect(person.page.locator("#log")).not_to_contain_text("left.")


def test_nobody_is_thrown_out_of_a_room_when_the_mesh_dies(people: tuple[Person, Person], world: World) -> None:
    ann, ben = people
    ann.enter("room_rooftop")
    ben.enter("room_rooftop")
    os.kill(world.where["pids"]["envoy-mesh"], signal.SIGKILL)
    for number, person in enumerate(people):

        def is_heard(person: Person = person, text: str = f"hello {number}") -> bool:
            person.page.locator("#text").fill(text)
            person.page.locator("#text").press("Enter")
            person.page.wait_for_timeout(200)
            return all(text in each.page.locator("#log").inner_text() for each in people)

        person.until(is_heard, "what is said once the mesh is back")
        expect(person.page.locator("#room")).to_be_visible()
        expect(person.page.locator("#place")).to_have_text("The Rooftop")


def test_a_room_that_does_not_answer_for_a_while_is_entered_all_the_same(people: tuple[Person, Person]) -> None:
    """By what the gateway answers while it does not reach world."""
    ann, _ = people
    refusals = ["UNAVAILABLE", "DEADLINE_EXCEEDED", "ROOM_UNAVAILABLE"]
    shown: list[str] = []

    def pass_on(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()

        def on_message(message: str | bytes) -> None:
            frame = json.loads(message)
            if "join" in frame and refusals:
                socket.send(json.dumps({"rid": frame["rid"], "error": {"reason": refusals.pop(0), "message": "no"}}))
            else:
                server.send(message)

        socket.on_message(on_message)

    ann.page.route_web_socket("**/ws", pass_on)
    ann.page.locator("#enter").click()
    ann.page.locator('[data-room="room_garden"]').click()

    def is_in() -> bool:
        shown.append(str(ann.page.evaluate("() => window.worldmesh.state")))
        return bool(ann.page.locator("#room").is_visible())

    ann.until(is_in, "the room")
    assert refusals == []
    assert "entering" in shown
    ann.until(lambda: ann.page.evaluate("() => window.worldmesh.state") == "online", "the status")


def test_everything_is_in_sight_on_a_phone(people: tuple[Person, Person]) -> None:
    ann, _ = people
    ann.page.set_viewport_size({"width": 390, "height": 844})
    ann.enter("room_plaza")
    for name in ("leave", "status", "place", "emotes", "text"):
        box = ann.page.locator(f"#{name}").bounding_box()
        assert box is not None, name
        assert box["x"] >= 0, name
        assert box["x"] + box["width"] <= 390, name
    assert ann.page.evaluate("() => document.documentElement.scrollWidth") == 390
    SHOTS.mkdir(parents=True, exist_ok=True)
    ann.page.screenshot(path=SHOTS / "phone.png")
