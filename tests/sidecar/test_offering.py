"""What a sidecar offers, as its endpoints come and go, and those that its hub tells of."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from apps.demo.player import play
from sidecar import minds
from sidecar.agent.models.claude import Claude
from sidecar.agent.models.ollama import Ollama
from sidecar.config import AgentCommand, Thinker
from sidecar.minds import Minds
from sidecar.offering import Offering
from sidecar.trialbook import FILE, TrialBook, Verdict
from sidecar.wire.nouns import EndpointState, KnownEndpoint, KnownModel, ModelOffer
from tests.providers.anthropic import KEY, AnthropicServer
from tests.providers.anthropic import serving as serving_claude
from tests.providers.ollama import NAME, Answer, Fault, Known, OllamaServer, serving


def thinker(url: str, **more) -> Thinker:
    return Thinker(executor="ollama", model=NAME, url=url, **more)


CLAUDE = Thinker(executor="claude", model="claude-sonnet-5-5", url="https://api.example", grade="claude", key="k")


@pytest.fixture(autouse=True)
def eager(monkeypatch):
    """As often as can be; what a test waits for it waits for itself."""
    monkeypatch.setattr("sidecar.offering.LOOK_SECONDS", 0.02)
    monkeypatch.setattr("sidecar.offering.SPREAD_SECONDS", 0.0, raising=False)


class Heard:
    """What a hub would have been told."""

    def __init__(self) -> None:
        self.offers: list[ModelOffer] = []
        self.endpoints: list[EndpointState] = []
        self._said = asyncio.Event()
        self._over = False

    def __call__(self, offers: list[ModelOffer], endpoints: list[EndpointState]) -> None:
        self.offers, self.endpoints = offers, endpoints
        self._said.set()

    def no_more(self, _watch: asyncio.Task[None]) -> None:
        """Nobody watches any more."""
        self._over = True
        self._said.set()

    async def until(self, holds) -> None:
        """Wait until it is told something for which `holds`."""
        async with asyncio.timeout(20):
            while not holds(self):
                assert not self._over, "nobody watches any more"
                self._said.clear()
                await self._said.wait()

    @property
    def models(self) -> list[str]:
        return [offer.model for offer in self.offers]


@asynccontextmanager
async def watching(offering: Offering):
    heard = Heard()
    watch = asyncio.create_task(offering.watch(heard))
    watch.add_done_callback(heard.no_more)
    try:
        yield heard
        if watch.done():
            watch.result()
    finally:
        watch.cancel()
        await asyncio.wait({watch})


def told_of(server: OllamaServer, **model) -> KnownEndpoint:
    return KnownEndpoint(kind="ollama", url=server.url, grade="gpu", models=[KnownModel(name=NAME, **model)])


async def test_an_endpoint_that_misses_twice_is_gone_and_one_answer_brings_it_back():
    server = OllamaServer()
    async with serving(server):
        offering = Offering(Minds([thinker(server.url), CLAUDE]))
        real = server.pages
        async with watching(offering) as heard:
            await heard.until(lambda heard: heard.endpoints and heard.endpoints[0].health == "up")
            server.pages = {"/api/ps": b"out of order"}
            await heard.until(lambda heard: heard.models == ["claude-sonnet-5-5"])
            down = heard.endpoints[0]
            server.pages = real
            await heard.until(lambda heard: heard.models == [NAME, "claude-sonnet-5-5"])

    assert ("down", True) == (down.health, down.trouble.startswith("model_"))
    assert ("up", "") == (heard.endpoints[0].health, heard.endpoints[0].trouble)
    assert "unknown" == heard.endpoints[1].health, "nobody looked at Claude, and that is not down"


async def test_an_endpoint_is_looked_at_by_one_client_that_is_closed_when_it_goes_or_the_watch_ends(
    tmp_path, monkeypatch
):
    """Making one holds up the event loop."""
    made, closed, gone = [], [], asyncio.Event()

    class Counted(Ollama):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            made.append(kwargs["url"])

        async def close(self) -> None:
            await super().close()
            closed.append(self)
            gone.set()

    monkeypatch.setattr("sidecar.offering.Ollama", Counted)
    async with serving(OllamaServer()) as own, serving(OllamaServer()) as lent:
        offering = Offering(Minds([thinker(own.url)], borrows=True), trials=TrialBook(tmp_path))
        async with watching(offering) as heard:
            offering.know([told_of(lent, dialect="native")])
            await heard.until(lambda heard: len(heard.models) == 2)
            own.loaded = {NAME: 8_192}
            await heard.until(lambda heard: heard.offers[0].warm)
            offering.know([])
            await heard.until(lambda heard: len(heard.models) == 1)
            async with asyncio.timeout(20):
                await gone.wait()  # the look that goes on is seen to its end first

    assert [own.url, lent.url] == made
    assert 2 == len(closed)


async def test_a_model_that_is_loaded_is_said_to_be_warm():
    async with serving(OllamaServer()) as server:
        offering = Offering(Minds([thinker(server.url)]))
        cold = [offer.warm for offer in offering.now()]
        server.loaded = {NAME: 8_192}
        async with watching(offering) as heard:
            await heard.until(lambda heard: heard.offers and heard.offers[0].warm)

    assert [False] == cold


async def test_an_agent_says_where_its_models_answer_and_of_commands_nothing():
    command = AgentCommand(name="ada-cli", argv=["true"])
    offering = Offering(Minds([CLAUDE]), [minds.command_offer(command)])

    assert ["https://api.example", ""] == [offer.url for offer in offering.now()]
    assert [EndpointState(kind="claude", url="https://api.example")] == offering.states()


async def test_claude_is_looked_at_only_when_it_has_let_an_attempt_down():
    server = AnthropicServer()
    async with serving_claude(server):
        mine = CLAUDE.model_copy(update={"url": server.url, "key": KEY})
        offering = Offering(Minds([mine]))
        async with watching(offering) as heard:
            await asyncio.sleep(0.2)
            looked = len(server.counted)
            server.key = "another"  # as when ours was revoked: it answers, and not us
            offering.suspect("claude", server.url)
            await heard.until(lambda heard: heard.endpoints and heard.endpoints[0].health == "down")
            gone = offering.now()
            server.key = KEY
            await heard.until(lambda heard: heard.endpoints[0].health == "up")
            then = len(server.counted)
            await asyncio.sleep(0.2)

    assert (0, []) == (looked, gone)
    assert ["claude-sonnet-5-5"] == heard.models
    assert then == len(server.counted), "once it is back nobody looks any more"
    assert not server.billed, "looking costs nothing"


async def test_a_used_up_quota_is_an_answer():
    server = AnthropicServer()
    server.quota_is_used_up = True
    async with serving_claude(server):
        claude = Claude(model=CLAUDE.model, api_key=KEY, base_url=server.url)
        try:
            await claude.look()
        finally:
            await claude.close()

    assert 1 == len(server.counted)


async def test_a_model_of_the_hubs_endpoints_is_tried_then_offered_by_the_hubs_grade(tmp_path):
    async with serving(OllamaServer(player=play)) as server:
        own = Minds([], borrows=True)
        offering = Offering(own, trials=TrialBook(tmp_path))
        async with watching(offering) as heard:
            offering.know([told_of(server, digest="d1")])
            await heard.until(lambda heard: heard.models == [NAME])
        asked = len(server.asked)
        again = Offering(Minds([], borrows=True), trials=TrialBook(tmp_path))
        async with watching(again) as reborn:
            again.know([told_of(server, digest="d1")])
            await reborn.until(lambda heard: heard.models == [NAME])

        assert ("gpu", server.url) == (heard.offers[0].grade, heard.offers[0].url)
        assert own.find("ollama", NAME, server.url) is not None
        assert 4 <= asked == len(server.asked), "what was tried once is not tried again by the next process"


async def test_what_another_agent_found_good_is_not_tried_again(tmp_path):
    async with serving(OllamaServer()) as server:
        offering = Offering(Minds([], borrows=True), trials=TrialBook(tmp_path))
        async with watching(offering) as heard:
            offering.know([told_of(server, digest="d1", dialect="fenced", tokens_per_second=7.5)])
            await heard.until(lambda heard: heard.models == [NAME])

    assert ("fenced", 7.5) == (heard.offers[0].dialect, heard.offers[0].tokens_per_second)
    assert not server.asked


async def test_an_agent_that_waits_for_its_turn_takes_over_what_another_finds_meanwhile(tmp_path):
    async with serving(OllamaServer()) as server:
        offering = Offering(Minds([], borrows=True), trials=TrialBook(tmp_path), hesitate=lambda: 3_600.0)
        async with watching(offering) as heard:
            offering.know([told_of(server, digest="d1")])
            await heard.until(lambda heard: heard.endpoints and heard.endpoints[0].health == "up")
            offering.know([told_of(server, digest="d1", dialect="fenced")])
            await heard.until(lambda heard: heard.models == [NAME])

    assert not server.asked, "it did not try what another may have been about to try"


async def test_what_another_agent_finds_during_a_trial_is_not_tried_after_it(tmp_path):
    offering = Offering(Minds([], borrows=True), trials=TrialBook(tmp_path))

    def know(dialect: str) -> None:
        models = [KnownModel(name=NAME), KnownModel(name="other:7b", dialect=dialect)]
        offering.know([KnownEndpoint(kind="ollama", url=server.url, models=models)])

    def playing(asked):
        know("fenced")
        return play(asked)

    async with serving(OllamaServer(player=playing)) as server:
        server.models["other:7b"] = Known()
        async with watching(offering) as heard:
            know("")
            await heard.until(lambda heard: len(heard.models) == 2)

    assert {NAME} == {asked.body["model"] for asked in server.asked}


async def test_what_others_found_unfit_is_neither_tried_nor_said_again(tmp_path):
    """Said again by each who only heard of it, one agent's error would look like everybody's finding."""
    async with serving(OllamaServer()) as server:
        offering = Offering(Minds([], borrows=True), trials=TrialBook(tmp_path))
        models = [KnownModel(name=NAME, unfit="It lost the beginning."), KnownModel(name="other:7b", dialect="native")]
        server.models["other:7b"] = Known()
        async with watching(offering) as heard:
            offering.know([KnownEndpoint(kind="ollama", url=server.url, models=models)])
            await heard.until(lambda heard: heard.models == ["other:7b"])

    assert not server.asked
    assert [] == heard.endpoints[0].unfit


async def test_a_model_that_cannot_call_tools_is_not_offered_and_the_hub_hears_why(tmp_path):
    async with serving(OllamaServer(player=lambda _asked: Answer(text="I would rather talk."))) as server:
        server.models[NAME] = Known(capabilities=("completion",))
        offering = Offering(Minds([], borrows=True), trials=TrialBook(tmp_path))
        async with watching(offering) as heard:
            offering.know([told_of(server, digest="d1")])
            await heard.until(lambda heard: heard.endpoints and heard.endpoints[0].unfit)

    assert [] == heard.models
    assert "cannot call tools well enough" in heard.endpoints[0].unfit[0].reason


async def test_a_model_that_was_no_good_is_tried_anew_when_it_was_taken_back_and_is_wanted_again(tmp_path):
    async with serving(OllamaServer(player=lambda _asked: Answer(text="I would rather talk."))) as server:
        server.models[NAME] = Known(capabilities=("completion",))
        trials = TrialBook(tmp_path)
        endpoint = told_of(server, digest="d1")
        trials.keep(endpoint, endpoint.models[0], Verdict(reason="It was in a mood."))
        offering = Offering(Minds([], borrows=True), trials=trials)
        for told in ([endpoint], [endpoint.model_copy(update={"models": []})], [endpoint]):
            offering.know(told)

    assert trials.of(endpoint, endpoint.models[0]) is None
    assert TrialBook(tmp_path).of(endpoint, endpoint.models[0]) is None


@pytest.mark.parametrize("version", ["0.12.5", "nightly"])
async def test_a_server_that_is_too_old_is_said_to_be_and_its_models_are_tried_once_it_is_not(tmp_path, version):
    trials = TrialBook(tmp_path)
    async with serving(OllamaServer(player=play, version=version)) as server:
        known = told_of(server, digest="d1")
        offering = Offering(Minds([], borrows=True), trials=trials)
        async with watching(offering) as heard:
            offering.know([known])
            await heard.until(lambda heard: heard.endpoints and heard.endpoints[0].trouble)
            old, verdict = heard.endpoints[0], trials.of(known, known.models[0])
            server.version = "0.12.6"
            await heard.until(lambda heard: heard.models == [NAME])

    assert ("up", version, []) == (old.health, old.version, old.unfit)
    assert f"model_server_too_old: Version {version} cuts long conversations" in old.trouble
    assert verdict is None, "it says nothing of the model"
    assert ("0.12.6", "") == (heard.endpoints[0].version, heard.endpoints[0].trouble)


async def test_models_of_a_server_that_has_become_too_old_are_offered_no_more(tmp_path):
    async with serving(OllamaServer()) as server:
        offering = Offering(Minds([], borrows=True), trials=TrialBook(tmp_path))
        async with watching(offering) as heard:
            offering.know([told_of(server, dialect="native")])
            await heard.until(lambda heard: heard.models == [NAME])
            server.version = "0.12.5"
            await heard.until(lambda heard: not heard.models)

    assert "0.12.5" in heard.endpoints[0].trouble


@pytest.mark.parametrize("later", ["gone", "another build"])
async def test_what_the_hub_tells_of_no_more_is_offered_no_more_but_what_runs_there_goes_on(tmp_path, later):
    async with serving(OllamaServer()) as server:
        own = Minds([], borrows=True)
        offering = Offering(own, trials=TrialBook(tmp_path))
        async with watching(offering) as heard:
            offering.know([told_of(server, dialect="native")])
            await heard.until(lambda heard: heard.models == [NAME])
            offering.know([] if later == "gone" else [told_of(server, digest="d2")])
            await heard.until(lambda heard: not heard.models)
            mind = own.find("ollama", NAME, server.url)

    assert mind is not None
    assert mind.borrowed
    assert own.find("ollama", NAME, "") is None, "and nothing else begins there"


async def test_an_endpoint_of_ones_own_stays_ones_own_when_the_hub_tells_of_it_too(tmp_path):
    async with serving(OllamaServer()) as server:
        own = Minds([thinker(server.url, grade="mine")], borrows=True)
        offering = Offering(own, trials=TrialBook(tmp_path))
        offering.know([told_of(server, dialect="native")])

        assert ["mine"] == [offer.grade for offer in offering.now()]
        assert 1 == len(offering.states())


async def test_a_machine_that_was_told_not_to_uses_nothing_of_the_hubs():
    async with serving(OllamaServer()) as server:
        offering = Offering(Minds([]))
        offering.know([told_of(server, dialect="native")])

        assert ([], []) == (offering.now(), offering.states())


@pytest.mark.parametrize("spoilt", [b"", b"{", b'[["a"]]', b'[["a","b","c","d",{"thinker":{"model":""}}]]', b"\xff"])
def test_a_spoilt_book_of_trials_costs_trials_and_nothing_else(tmp_path, spoilt):
    (tmp_path / FILE).write_bytes(spoilt)
    endpoint = KnownEndpoint(kind="ollama", url="http://gpu.example:11434")

    assert TrialBook(tmp_path).of(endpoint, KnownModel(name=NAME)) is None


# --- what endpoints and hubs may say ----------------------------------------------------------------------------------


ODD = {
    "more tokens than a number can hold": {"eval_count": 10**400},
    "a time that no number can hold": {"eval_duration": 10**400},
}


def last_line(**said) -> bytes:
    """The end of an answer."""
    whole = {"message": {"content": "Well."}, "done": True, "eval_count": 5, "prompt_eval_count": 100, **said}
    return json.dumps(whole).encode() + b"\n"


@pytest.mark.parametrize("said", ODD.values(), ids=ODD)
async def test_nothing_that_a_model_says_ends_the_daemon(tmp_path, said):
    def speak(_asked):
        hostile.forget()  # the dialect changes
        return Fault(name="raw", raw=last_line(**said))

    hostile = OllamaServer(player=speak)
    async with serving(hostile), serving(OllamaServer(player=play)) as honest:
        offering = Offering(Minds([], borrows=True), trials=TrialBook(tmp_path))
        async with watching(offering) as heard:
            offering.know([told_of(hostile, digest="d1"), told_of(honest, digest="d1")])
            await heard.until(lambda heard: heard.offers)

    assert [honest.url] == [offer.url for offer in heard.offers]
    assert hostile.asked


@pytest.mark.parametrize(
    "pages",
    [
        {"/api/version": b'{"version":"\\ud800"}'},
        {"/api/ps": b'{"models":[{"name":"\\ud800","context_length":1%s}]}' % (b"0" * 400)},
        {"/api/show": b'{"capabilities":["\\ud800"],"template":"\\ud800","parser":7}'},
    ],
    ids=["version", "running", "shown"],
)
async def test_nothing_that_an_endpoint_says_of_itself_ends_the_daemon(tmp_path, pages):
    hostile = OllamaServer()
    hostile.pages = pages
    async with serving(hostile), serving(OllamaServer(player=play)) as honest:
        offering = Offering(Minds([], borrows=True), trials=TrialBook(tmp_path))
        async with watching(offering) as heard:
            offering.know([told_of(hostile, digest="d1"), told_of(honest, digest="d1")])
            await heard.until(lambda heard: heard.offers and heard.endpoints[0].health != "unknown")

    assert [honest.url] == [offer.url for offer in heard.offers]


@pytest.mark.parametrize("url", ["http://[v1.a:b]:11434", "gopher://gpu", "http://gpu:99999", "http://\x00", "x"])
async def test_an_address_that_is_none_is_said_to_be_down_and_why(tmp_path, url):
    async with serving(OllamaServer()) as server:
        offering = Offering(Minds([], borrows=True), trials=TrialBook(tmp_path))
        async with watching(offering) as heard:
            none = KnownEndpoint(kind="ollama", url=url, models=[KnownModel(name=NAME)])
            offering.know([none, told_of(server, dialect="native")])
            await heard.until(lambda heard: heard.offers and heard.endpoints[0].health == "down")

    assert heard.endpoints[0].trouble
    assert [server.url] == [offer.url for offer in heard.offers]


async def test_a_fault_of_ours_in_a_trial_costs_that_trial_only(tmp_path, monkeypatch):
    """As when a model's answer meets a bug: the next trial of it is in five minutes, not after a restart."""

    async def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr("sidecar.discover.borrowed", broken)
    trials = TrialBook(tmp_path)
    async with serving(OllamaServer()) as server:
        offering = Offering(Minds([], borrows=True), trials=trials)
        async with watching(offering) as heard:
            known = told_of(server, digest="d1")
            offering.know([known])
            await heard.until(lambda heard: heard.endpoints and heard.endpoints[0].health == "up")
            offering.know([known, KnownEndpoint(kind="ollama", url="http://gone.invalid")])
            await heard.until(lambda heard: len(heard.endpoints) == 2)

    assert trials.of(known, known.models[0]) is None
