"""Endpoints: added by operators, looked at by the hub over a real socket, and told of by agents."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.utils import timezone

from apps.agents.jobs import prune
from apps.agents.models import Agent
from apps.demo.loopback import listening
from apps.demo.ollama import NAME, Known, OllamaServer
from apps.endpoints import actions, jobs, ollama, reports
from apps.endpoints.models import Endpoint, Host, Model
from apps.events.kinds import Kind
from apps.events.models import Event
from apps.events.refused import Invalid
from apps.gateway import known
from tests import cast
from tests.providers.running import Running

pytestmark = pytest.mark.django_db
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


@pytest.fixture
def server(settings: Any) -> Iterator[OllamaServer]:
    served = OllamaServer()
    running = Running(listening(served))
    running.start()
    settings.ENDPOINT_NETWORKS = LOOPBACK
    settings.ENDPOINT_PORTS = (int(served.url.rpartition(":")[2]), 1)
    yield served
    running.stop()


def add(url: str, **facts: Any) -> Endpoint:
    return actions.add(url, by="olga", **facts)


def fresh(endpoint: Endpoint) -> Endpoint:
    return Endpoint.objects.get(pk=endpoint.pk)


def kinds(endpoint: Endpoint) -> list[str]:
    return list(Event.objects.filter(subject=f"endpoint/{endpoint.pk}").values_list("kind", flat=True))


def test_an_operators_endpoint_is_looked_at_and_its_models_are_known(server: OllamaServer) -> None:
    server.models = {NAME: Known(context=32_768), "embed:1b": Known(capabilities=("embedding",))}
    server.loaded = {NAME: 8_192}
    endpoint = add(server.url, name="the box", grade="gpu")
    jobs.look(endpoint.pk)

    assert ("up", 0, "") == (fresh(endpoint).health, fresh(endpoint).misses, fresh(endpoint).trouble)
    assert fresh(endpoint).version
    assert [("embed:1b", False, False), (NAME, True, True)] == sorted(
        Model.objects.values_list("name", "wanted", "warm"), key=lambda row: row[0] == NAME
    )
    assert 32_768 == Model.objects.get(name=NAME).context
    assert [Kind.ENDPOINT_ADDED, Kind.ENDPOINT_UP] == kinds(endpoint)


def test_one_miss_says_nothing_two_say_down_and_one_answer_brings_it_back(server: OllamaServer) -> None:
    endpoint = add(server.url)
    jobs.look(endpoint.pk)
    real, server.pages = server.pages, {"/api/version": b"<html>"}
    jobs.look(endpoint.pk)
    once = fresh(endpoint)
    jobs.look(endpoint.pk)
    twice = fresh(endpoint)
    server.pages = real
    jobs.look(endpoint.pk)

    assert ("up", 1) == (once.health, once.misses)
    assert ("down", "What it said is not what an Ollama says.") == (twice.health, twice.trouble)
    assert ("up", 0, "") == (fresh(endpoint).health, fresh(endpoint).misses, fresh(endpoint).trouble)
    assert [Kind.ENDPOINT_UP, Kind.ENDPOINT_DOWN, Kind.ENDPOINT_UP] == kinds(endpoint)[1:]


def test_nobody_there_is_a_miss_with_the_reason(settings: Any) -> None:
    settings.ENDPOINT_NETWORKS, settings.ENDPOINT_PORTS = LOOPBACK, (1,)
    endpoint = add("http://127.0.0.1:1")
    jobs.look(endpoint.pk)

    assert ("unknown", 1) == (fresh(endpoint).health, fresh(endpoint).misses)
    assert fresh(endpoint).trouble


@pytest.mark.parametrize(
    "page",
    [
        b"[]",
        b"null",
        b'{"version": {}}',
        b'{"models": 7}',
        b'{"models": [7]}',
        b'{"models": [{}]}',
        b"[" * 9_999,
        b"\xff",
    ],
)
def test_what_no_ollama_says_is_a_miss_and_never_an_error(server: OllamaServer, page: bytes) -> None:
    endpoint = add(server.url)
    server.pages = {"/api/version": b'{"version": "0.12.6"}', "/api/ps": page, "/api/tags": page}
    jobs.look(endpoint.pk)

    assert 1 == fresh(endpoint).misses


def test_a_model_that_is_gone_is_no_longer_installed_and_one_of_another_build_is_unmeasured(
    server: OllamaServer,
) -> None:
    server.models = {NAME: Known(), "old:1b": Known()}
    endpoint = add(server.url)
    jobs.look(endpoint.pk)
    trial = {"dialect": "native", "tokens_per_second": 9.0, "trial": {"trials": []}}
    Model.objects.update(**trial)
    Model.objects.filter(name=NAME).update(digest="another build")
    server.models = {NAME: Known()}
    jobs.look(endpoint.pk)

    assert [("old:1b", False)] == list(Model.objects.filter(installed=False).values_list("name", "installed"))
    assert ("", 0.0) == Model.objects.values_list("dialect", "tokens_per_second").get(name=NAME)
    assert ("native", 9.0) == Model.objects.values_list("dialect", "tokens_per_second").get(name="old:1b")


def test_only_the_first_few_models_are_wanted_until_somebody_wants_more(server: OllamaServer) -> None:
    server.models = {f"m{n}:1b": Known() for n in range(5)}
    endpoint = add(server.url)
    jobs.look(endpoint.pk)
    actions.want(Model.objects.get(name="m4:1b"), True, by="olga")
    jobs.look(endpoint.pk)

    assert ["m0:1b", "m1:1b", "m2:1b", "m4:1b"] == sorted(
        Model.objects.filter(wanted=True).values_list("name", flat=True)
    )


@pytest.mark.parametrize(
    ("facts", "field"),
    [
        ({"url": "http://10.0.0.1:11434"}, "url"),
        ({"url": "nonsense://"}, "url"),
        ({"url": "http://gpu.example.org:11434", "grade": "Not A Grade"}, "grade"),
        ({"url": "http://gpu.example.org:11434", "name": "x" * 101}, "name"),
        ({"url": "http://gpu.example.org:11434", "name": "a\x00b"}, "name"),
    ],
)
def test_what_cannot_be_is_refused_by_its_field_and_nothing_is_kept(facts: dict[str, str], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        add(**facts)

    assert field == refused.value.field
    assert not Endpoint.objects.exists()


def test_the_same_address_twice_is_refused() -> None:
    add("http://gpu.example.org:11434")

    with pytest.raises(actions.Known):
        add("GPU.example.org:11434/")


def test_at_another_address_it_is_looked_at_anew(server: OllamaServer) -> None:
    endpoint = add(server.url)
    jobs.look(endpoint.pk)
    actions.change(fresh(endpoint), by="olga", url="http://127.0.0.1:1")

    assert ("unknown", "", 0) == (fresh(endpoint).health, fresh(endpoint).version, Model.objects.count())


def test_what_does_not_change_is_no_event() -> None:
    endpoint = add("http://gpu.example.org:11434", name="box")
    actions.change(endpoint, by="olga", name="box", grade="local", url="http://gpu.example.org:11434")
    actions.resume(endpoint, by="olga")

    assert [Kind.ENDPOINT_ADDED] == kinds(endpoint)


def test_a_removed_one_is_gone_with_its_models_and_its_history_stays(server: OllamaServer) -> None:
    endpoint = add(server.url)
    jobs.look(endpoint.pk)
    actions.remove(fresh(endpoint), by="olga")
    jobs.look(endpoint.pk)

    assert (0, 0) == (Endpoint.objects.count(), Model.objects.count())
    assert Kind.ENDPOINT_REMOVED == kinds(endpoint)[-1]


# --- what agents tell -------------------------------------------------------------------------------------------------


def state(url: str, health: str = "up", **facts: Any) -> dict[str, Any]:
    return {"kind": "ollama", "url": url, "health": health, "version": "0.12.6", "trouble": "", "unfit": [], **facts}


def offer(url: str, **facts: Any) -> dict[str, Any]:
    base = {"executor": "ollama", "model": NAME, "grade": "local", "context": 8_192, "dialect": "native", "digest": "d"}
    trials = [{"name": "one call", "ok": True, "what": "", "repairs": 0, "duration_ms": 5}]
    return {
        **base,
        "tokens_per_second": 9.0,
        "warm": True,
        "url": url,
        "trials": trials,
        "context_measured": 7,
        **facts,
    }


def machine(name: str = "m1") -> dict[str, Any]:
    return {"machine": name, "hostname": f"host-{name}", "cpus": 8, "memory_bytes": 10**9, "load": {"cpu": 12.5}}


def test_two_agents_of_one_machine_share_its_endpoint_and_those_of_two_do_not() -> None:
    url = "http://127.0.0.1:11434"
    for name, where in (("ada", "m1"), ("ben", "m1"), ("cy", "m2")):
        cast.agent(name, host=machine(where), endpoints=[state(url)], offers=[offer(url)])
    ada, ben, cy = (Agent.objects.get(name=name) for name in ("ada", "ben", "cy"))

    assert ada.offers[0]["endpoint"] == ben.offers[0]["endpoint"] != cy.offers[0]["endpoint"]
    assert (ada.host_id, 2) == (ben.host_id, Host.objects.count())
    assert {"m1", "m2"} == set(Endpoint.objects.values_list("host__machine", flat=True))
    assert 12.5 == Host.objects.get(machine="m1").load["cpu"]


def test_how_a_model_did_in_its_trial_is_kept_with_the_model_and_not_with_every_offer() -> None:
    url = "http://127.0.0.1:11434"
    ada = cast.agent("ada", host=machine(), endpoints=[state(url)], offers=[offer(url)])
    model = Model.objects.get()

    assert ("one call", 7) == (model.trial["trials"][0]["name"], model.trial["context_measured"])
    assert not {"trials", "context_measured"} & set(cast.fresh(ada).offers[0])


def test_an_agent_says_nothing_of_an_endpoint_that_an_operator_added() -> None:
    """Not its health, not that it has a model that the hub has not seen; only how a known build did in a trial."""
    url = "http://gpu.example.org:11434"
    endpoint = add(url, grade="gpu")
    model = Model.objects.create(endpoint=endpoint, name=NAME, digest="d", context=100)
    said = [offer(url), offer(url, model="invented:70b"), offer(url, executor="claude")]
    ada = cast.agent("ada", host=machine(), endpoints=[state(url, "down", trouble="ha")], offers=said)
    model.refresh_from_db()

    assert ("unknown", "") == (fresh(endpoint).health, fresh(endpoint).trouble)
    assert [NAME] == list(Model.objects.values_list("name", flat=True))
    assert (100, "native", 9.0) == (model.context, model.dialect, model.tokens_per_second)
    assert [endpoint.pk, endpoint.pk, None] == [one.get("endpoint") for one in cast.fresh(ada).offers]


def test_an_agent_that_took_over_a_verdict_does_not_wipe_out_the_trial() -> None:
    url = "http://gpu.example.org:11434"
    Model.objects.create(endpoint=add(url), name=NAME, digest="d")
    for name, trials in (("ada", offer(url)["trials"]), ("ben", [])):
        cast.agent(name, host=machine(name), endpoints=[state(url)], offers=[offer(url, trials=trials)])

    assert 1 == len(Model.objects.get().trial["trials"])


def test_an_operators_address_of_this_machine_is_not_what_agents_have_on_theirs(settings: Any) -> None:
    settings.ENDPOINT_NETWORKS = LOOPBACK
    url = "http://127.0.0.1:11434"
    endpoint = add(url)
    told = cast.agent("ada", host=machine(), endpoints=[state(url, own=False)], offers=[offer(url)])
    own = cast.agent("ben", host=machine("m2"), endpoints=[state(url)], offers=[offer(url)])

    assert [endpoint.pk] == [one["endpoint"] for one in cast.fresh(told).offers]
    assert endpoint.pk not in [one["endpoint"] for one in cast.fresh(own).offers], "its own is of its own machine"


def test_a_model_that_no_agent_can_use_says_why() -> None:
    url = "http://gpu.example.org:11434"
    endpoint = add(url)
    Model.objects.create(endpoint=endpoint, name=NAME, digest="d")
    unfit = [{"model": NAME, "digest": "d", "reason": "It cannot call tools well enough."}]
    cast.agent("ada", host=machine(), endpoints=[state(url, unfit=unfit)])

    assert {"unfit": "It cannot call tools well enough."} == Model.objects.get().trial


@pytest.mark.parametrize("url", ["ftp://x", "http://", "http://a:b@c", "http://[", "http://x:99999", "\x01"])
def test_an_address_that_is_none_is_no_endpoint_and_the_offer_stays(url: str) -> None:
    ada = cast.agent("ada", host=machine(), endpoints=[state(url)], offers=[offer(url)])

    assert (0, False) == (Endpoint.objects.count(), "endpoint" in cast.fresh(ada).offers[0])


def test_an_agents_own_endpoint_goes_down_at_its_word_and_can_only_be_drained_here() -> None:
    url = "http://127.0.0.1:11434"
    ada = cast.agent("ada", host=machine(), endpoints=[state(url)], offers=[offer(url)])
    cast.connect(ada, host=machine(), endpoints=[state(url, "down", trouble="gone")])
    endpoint = Endpoint.objects.get()

    assert ("down", "gone") == (endpoint.health, endpoint.trouble)
    for verb in (
        actions.remove,
        lambda endpoint, by: actions.change(endpoint, by=by, url="http://gpu.example.org:11434"),
    ):
        with pytest.raises(actions.NotOurs):
            verb(endpoint, by="olga")
    actions.drain(endpoint, by="olga")
    assert fresh(endpoint).draining


def test_an_agent_that_says_whatever_it_likes_does_not_fill_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "MOST_PER_AGENT", 3)
    monkeypatch.setattr(reports, "MOST_MODELS", 4)
    ada = cast.agent("ada", host=machine())
    for n in range(9):
        url = f"http://gpu-{n}.example.org:11434"
        offers = [offer("http://gpu-0.example.org:11434", model=f"m{n}-{m}") for m in range(3)]
        first = state("http://gpu-0.example.org:11434")
        cast.connect(ada, host=machine(f"m{n}"), endpoints=[state(url), first], offers=offers)

    assert (3, 1) == (Endpoint.objects.count(), Host.objects.count())
    assert Model.objects.count() <= 4 + 2


def test_an_endpoint_that_is_offered_is_kept_however_long_nobody_had_news_of_it(settings: Any) -> None:
    """A steadily connected agent says of Claude nothing for months."""
    url = "http://gpu.example.org:11434"
    cast.agent("ada", host=machine(), endpoints=[state(url)], offers=[offer(url)])
    long_ago = timezone.now() - timedelta(days=900)
    Endpoint.objects.update(checked_at=long_ago)
    Model.objects.update(seen_at=long_ago)
    prune()

    assert (1, 1) == (Endpoint.objects.count(), Model.objects.count())


def test_an_operator_adopts_what_an_agent_named_first() -> None:
    url = "http://gpu.example.org:11434"
    ada = cast.agent("ada", host=machine(), endpoints=[state(url)], offers=[offer(url)])
    actions.drain(Endpoint.objects.get(), by="olga")
    endpoint = add(url, name="the box")

    assert [("operator", "the box", "unknown", True)] == list(
        Endpoint.objects.values_list("origin", "name", "health", "draining")
    )
    assert [endpoint.pk] == [one["endpoint"] for one in cast.fresh(ada).offers], "though it has said nothing since"
    assert fresh(endpoint).added_at <= timezone.now()
    assert not Model.objects.exists(), "what it has the hub sees for itself"


def test_an_endpoint_is_not_moved_to_where_agents_offer_one() -> None:
    theirs = "http://theirs.example.org:11434"
    cast.agent("ada", host=machine(), endpoints=[state(theirs)], offers=[offer(theirs)])
    endpoint = add("http://gpu.example.org:11434")

    with pytest.raises(actions.Known):
        actions.change(endpoint, by="olga", url=theirs)
    assert {"operator", "agent"} == set(Endpoint.objects.values_list("origin", flat=True))


def test_an_offer_at_an_operators_address_is_tied_to_it_whether_its_state_was_told_or_not() -> None:
    url = "http://gpu.example.org:11434"
    endpoint = add(url)
    ada = cast.agent("ada", host=machine(), endpoints=[], offers=[offer("http://GPU.example.org:11434/")])

    assert [endpoint.pk] == [one["endpoint"] for one in cast.fresh(ada).offers]


def test_the_first_verdict_on_a_build_stands_until_there_is_another_build() -> None:
    url = "http://gpu.example.org:11434"
    Model.objects.create(endpoint=add(url), name=NAME, digest="d")
    said: list[tuple[str, dict[str, Any]]] = [
        ("ada", {"trials": [], "tokens_per_second": 1.0}),  # nothing that it was tried by
        ("ben", {"tokens_per_second": 9.0}),
        ("cy", {"tokens_per_second": 5.0, "dialect": "fenced"}),
    ]
    for name, facts in said:
        cast.agent(name, host=machine(name), endpoints=[state(url)], offers=[offer(url, **facts)])
    unfit = [{"model": NAME, "digest": "d", "reason": "I say so."}]
    cast.agent("eve", host=machine("eve"), endpoints=[state(url, unfit=unfit)])
    model = Model.objects.get()

    assert ("native", 9.0, 1) == (model.dialect, model.tokens_per_second, len(model.trial["trials"]))


def test_a_model_that_somebody_found_unfit_is_told_as_such_until_an_operator_wants_it_tried_anew() -> None:
    url = "http://gpu.example.org:11434"
    model = Model.objects.create(endpoint=add(url), name=NAME, digest="d")
    unfit = [{"model": NAME, "digest": "d", "reason": "It lost the beginning."}]
    cast.agent("eve", host=machine("eve"), endpoints=[state(url, unfit=unfit)])
    before = known.refresh().endpoints[0].models[0].unfit
    for wanted in (False, True):
        actions.want(model, wanted, by="olga")

    assert ("It lost the beginning.", "") == (before, known.refresh().endpoints[0].models[0].unfit)


def test_an_endpoint_that_answers_may_have_its_troubles_all_the_same() -> None:
    url = "http://127.0.0.1:11434"
    cast.agent("ada", host=machine(), endpoints=[state(url, trouble="model_server_too_old: 0.9")], offers=[])

    assert ("up", "model_server_too_old: 0.9") == Endpoint.objects.values_list("health", "trouble").get()


@pytest.mark.parametrize("url", ["http://gpu.example.org:11434", "http://127.0.0.1:11434"])
def test_who_has_not_heard_of_a_removal_yet_brings_nothing_back(url: str) -> None:
    ada = cast.agent("ada", host=machine(), endpoints=[state(url, own=False)], offers=[offer(url), offer("")])

    assert [""] == [one["url"] for one in cast.fresh(ada).offers]
    assert not Endpoint.objects.exists()


def test_nobody_is_taken_for_the_machine_of_an_agent_that_says_none() -> None:
    silent = cast.agent("ada", host={"hostname": "hers"})
    cast.agent("eve", host={**machine(), "machine": f"of agent {silent.pk}", "hostname": "mine now"})

    assert "hers" == Host.objects.get(agents=silent).hostname


def test_numbers_that_no_column_holds_are_cut() -> None:
    url = "http://gpu.example.org:11434"
    huge = {**machine(), "cpus": 2**40}
    cast.agent("ada", host=huge, endpoints=[state(url)], offers=[offer(url, context=2**40)])

    assert (2**31 - 1, 2**31 - 1) == (Host.objects.get().cpus, Model.objects.get().context)


def test_a_look_at_an_address_that_was_changed_meanwhile_says_nothing_of_the_new_one() -> None:
    endpoint = add("http://gpu.example.org:11434")
    actions.change(fresh(endpoint), by="olga", url="http://other.example.org:11434")
    reports.looked(endpoint, ollama.Looked("1", (NAME,), (ollama.Seen(NAME, "d"),)))

    assert ("unknown", 0) == (fresh(endpoint).health, Model.objects.count())


def test_models_that_are_gone_take_no_place_among_the_wanted() -> None:
    endpoint = add("http://gpu.example.org:11434")
    for names in (("a0", "a1", "a2"), ("b0", "b1", "b2")):
        reports.looked(endpoint, ollama.Looked("1", names, tuple(ollama.Seen(name, "d") for name in names)))

    assert {"b0", "b1", "b2"} == set(Model.objects.filter(wanted=True, installed=True).values_list("name", flat=True))


def test_removed_twice_is_removed_once() -> None:
    endpoint = add("http://gpu.example.org:11434")
    actions.remove(fresh(endpoint), by="olga")

    for verb in (actions.remove, partial(actions.change, name="late")):
        with pytest.raises(actions.Gone):
            verb(endpoint, by="olga")
    assert 1 == Event.objects.filter(kind=Kind.ENDPOINT_REMOVED).count()


def test_words_that_no_database_keeps_are_mended(server: OllamaServer) -> None:
    endpoint = add(server.url)
    server.pages = {"/api/version": b'{"version": "\\ud800\\u0000"}'}
    jobs.look(endpoint.pk)

    assert ("up", "?\ufffd") == (fresh(endpoint).health, fresh(endpoint).version)


def test_a_server_that_drips_is_given_up(server: OllamaServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ollama, "WHOLE_SECONDS", 0.0)
    endpoint = add(server.url)
    jobs.look(endpoint.pk)

    assert "did not answer within" in fresh(endpoint).trouble


def test_what_nobody_speaks_of_any_more_is_forgotten_after_the_retention(settings: Any) -> None:
    settings.RETENTION = timedelta(days=30)
    long_ago = timezone.now() - timedelta(days=31)
    here, gone = "http://127.0.0.1:11434", "http://old.example.org:11434"
    ada = cast.agent("ada", host=machine(), endpoints=[state(here), state(gone)], offers=[offer(here), offer(gone)])
    cast.connect(ada, host=machine(), endpoints=[state(here)], offers=[offer(here)])
    added = add("http://gpu.example.org:11434")
    Model.objects.create(endpoint=added, name="kept", seen_at=long_ago)
    Model.objects.create(endpoint=added, name="gone", installed=False, seen_at=long_ago)
    Model.objects.filter(endpoint__url=gone).update(seen_at=long_ago)
    Endpoint.objects.filter(url=gone).update(checked_at=long_ago)
    prune()

    assert {here, added.url} == set(Endpoint.objects.values_list("url", flat=True))
    assert {NAME, "kept"} == set(Model.objects.values_list("name", flat=True))


def test_the_hub_never_asks_an_address_that_an_agent_named(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def look(url: str, **_: object) -> ollama.Looked:
        asked.append(url)
        return ollama.Looked("1", (), ())

    monkeypatch.setattr(ollama, "look", look)
    cast.agent("ada", host=machine(), endpoints=[state("http://theirs.example.org:11434")])
    ours = add("http://ours.example.org:11434")
    for endpoint in Endpoint.objects.all():
        jobs.look(endpoint.pk)
    jobs.look_at_all()

    assert [ours.url, ours.url] == asked
