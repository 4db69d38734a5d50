"""What the scene's repository holds and what was said and printed there."""

from __future__ import annotations

from typing import Any

from apps.tasks.models import Lane

RATES = '''"""What a parcel costs."""

from decimal import Decimal

BASE = Decimal("4.90")
PER_KILO = Decimal("1.15")


def zone(country):
    if country == "DE":
        return 1
    elif country in ("AT", "CH", "NL", "BE", "LU"):
        return 2
    elif country in ("FR", "IT", "PL", "CZ", "DK"):
        return 3
    return 4


def price(weight, country):
    """The price in euro of a parcel of `weight` kilograms."""
    return round((BASE + PER_KILO * Decimal(weight)) * zone(country), 2)
'''
TEST_RATES = """from decimal import Decimal

from parcel.rates import price


def test_a_kilo_at_home():
    assert price(1, "DE") == Decimal("6.05")
"""
START = {
    "README.md": "# parcel\n\nPrices for parcels, by weight and zone.\n",
    "parcel/__init__.py": "",
    "parcel/rates.py": RATES,
    "tests/test_rates.py": TEST_RATES,
    "pyproject.toml": '[project]\nname = "parcel"\nversion = "1.4.0"\n',
}

_ROUNDED = RATES.replace("from decimal import Decimal", "from decimal import ROUND_HALF_UP, Decimal").replace(
    "    return round((BASE + PER_KILO * Decimal(weight)) * zone(country), 2)",
    "    total = (BASE + PER_KILO * Decimal(weight)) * zone(country)\n"
    '    return total.quantize(Decimal("0.01"), ROUND_HALF_UP)',
)
ROUNDING = {"parcel/rates.py": _ROUNDED}

WEIGHTS = {
    "parcel/rates.py": _ROUNDED.replace(
        'PER_KILO = Decimal("1.15")\n',
        'PER_KILO = Decimal("1.15")\nHEAVIEST = Decimal("31.5")\n\n\n'
        'class NotAWeight(ValueError):\n    """No parcel weighs that."""\n',
    ).replace(
        "    total = (BASE + PER_KILO * Decimal(weight)) * zone(country)\n",
        "    kilos = Decimal(weight)\n"
        "    if not 0 < kilos <= HEAVIEST:\n"
        '        raise NotAWeight(f"A parcel weighs more than 0 and at most {HEAVIEST} kg, not {weight}.")\n'
        "    total = (BASE + PER_KILO * kilos) * zone(country)\n",
    ),
    "tests/test_rates.py": TEST_RATES.replace(
        "from decimal import Decimal\n\nfrom parcel.rates import price\n",
        "from decimal import Decimal\n\nimport pytest\n\nfrom parcel.rates import NotAWeight, price\n",
    )
    + '\n\n@pytest.mark.parametrize("weight", [0, -1, "31.6", 900])\n'
    "def test_what_no_parcel_weighs_has_no_price(weight):\n"
    "    with pytest.raises(NotAWeight):\n"
    '        price(weight, "DE")\n',
}
_CHAIN = _ROUNDED[_ROUNDED.index("def zone") : _ROUNDED.index("def price")]
ZONES = {
    "parcel/zones.py": '"""Which zone a country lies in."""\n\nZONES = {\n'
    + "".join(
        f'    "{country}": {zone},\n'
        for zone, row in enumerate(("DE", "AT CH NL BE LU", "FR IT PL CZ DK"), 1)
        for country in row.split()
    )
    + "}\nELSEWHERE = 4\n\n\ndef zone(country: str) -> int:\n    return ZONES.get(country, ELSEWHERE)\n",
    "parcel/rates.py": _ROUNDED.replace(_CHAIN, "").replace(
        "import ROUND_HALF_UP, Decimal\n", "import ROUND_HALF_UP, Decimal\n\nfrom parcel.zones import zone\n"
    ),
}

WEIGHTS_WHY = (
    "A weight of -3 gives a price below the base fee today, and 900 kg gives one that no carrier honours.\n"
    "Refuse both with an error that says what is allowed, and keep that by tests."
)
ZONES_WHY = "Adding a country means reading a chain of ifs. A table says the same and can be extended by anybody."
WEEK_WHY = "The shop sends delivery dates as ISO week dates. Read them wherever a date is read."
RUNNING_WHY = "Loading takes 40 ms at every start because the table is parsed twice. Parse it once."
SAID = "The message names the limit, good. 31.5 kg is right for all three carriers."

PASSED = (
    "....                                                                     [100%]\n5 passed in 0.04s",
    "All checks passed!",
    "",
)
_WEEK_FAILED = (
    "..F\n"
    "=================================== FAILURES ===================================\n"
    "______________________ test_week_53_belongs_to_the_old_year _____________________\n\n"
    '>       assert parse("2026-W53-5") == date(2027, 1, 1)\n'
    "E       assert datetime.date(2026, 12, 31) == datetime.date(2027, 1, 1)\n\n"
    "tests/test_dates.py:21: AssertionError\n"
    "1 failed, 2 passed in 0.05s"
)
WEEK_OUTPUT = (_WEEK_FAILED, "All checks passed!")
STEPS = (
    (0, "phase", "workspace: main at its newest"),
    (1, "phase", "run"),
    (2, "output", "$ python tools/apply.py"),
    (38, "phase", "verify"),
    (40, "check", "tests_pass: passed in 0.9 s"),
    (41, "phase", "publish"),
)
RUNNING_STEPS = (
    (0, "phase", "workspace: main at its newest"),
    (1, "phase", "run"),
    (2, "output", "$ python tools/apply.py"),
    (9, "output", "parcel/table.py: parse() is called from load() and from check()"),
    (31, "output", "parcel/table.py: keep the parsed table in load(), hand it to check()"),
    (58, "output", "bench: 40.3 ms -> 19.8 ms per start"),
    (63, "phase", "verify"),
    (64, "check", "tests_pass: running"),
)
DOCS_STEPS = (
    (0, "phase", "workspace: main at its newest"),
    (22, "output", "README.md: a table of the four surcharges"),
)
SLICE_STEPS = (
    (0, "phase", "workspace: the goal's branch at its newest"),
    (3, "phase", "run"),
    (11, "note", "I look at the files that the slice names first."),
    (38, "phase", "verify"),
    (40, "check", "tests_pass: passed in 0.9 s"),
    (41, "phase", "publish"),
)
TYPING_STEPS = ((0, "phase", "workspace: main at its newest"), (17, "output", "mypy: 14 errors left in 3 files"))
QUEUED = (
    ("Print labels in A6", Lane.URGENT),
    ("Ask the carrier for pick-up times", Lane.NORMAL),
    ("Warn when an address has no number", Lane.NORMAL),
    ("Sort the surcharges by amount", Lane.NORMAL),
    ("Rename parcel.misc", Lane.LOW),
    ("Spell out abbreviations in messages", Lane.LOW),
)

CONFLICT = {
    "README.md": "# labels\n\nPrints labels.\n",
    "labels/paper.py": "<<<<<<< main\nSIZE = (105, 148)\n=======\nSIZE = (100, 150)\n>>>>>>> a6\n",
}
NO_RESTART = "Job for ollama.service failed because the control process exited with error code."
GPU_BOX, ATTIC = "http://gpu-box.example.org:11434", "http://attic.example.org:11434"
THINKER = "qwen3:32b"
"""The model by which the hub plans and judges; it is on the first of the two."""

GB = 1024**3
OLLAMA = "http://127.0.0.1:11434"
WORKBENCH = {
    "machine": "workbench",
    "hostname": "workbench",
    "system": "Linux 6.12 x86_64",
    "cpus": 8,
    "memory_bytes": 32 * GB,
    "load": {
        "cpu": 34.0,
        "cores": [61.0, 12.0, 88.0, 9.0, 40.0, 31.0, 22.0, 9.0],
        "memory_used_bytes": 14 * GB,
        "disk_bytes": 500 * GB,
        "disk_free_bytes": 120 * GB,
        "gpus": [
            {"name": "NVIDIA RTX 4090", "busy": 83.0, "memory_bytes": 24 * GB, "memory_used_bytes": 11 * GB},
        ],
    },
}
"""The machine of most of the scene's agents, and how busy it is."""
WITH_A_MODEL: dict[str, Any] = {
    "endpoints": [
        {"kind": "ollama", "url": OLLAMA, "health": "up", "version": "0.33.0", "trouble": "", "unfit": []},
    ],
    "offers": [
        {
            "executor": "ollama",
            "model": "qwen3:8b",
            "grade": "local",
            "context": 16_384,
            "dialect": "native",
            "digest": "500a1f067a9f",
            "tokens_per_second": 41.5,
            "warm": True,
            "url": OLLAMA,
            "trials": [],
            "context_measured": 11_200,
        }
    ],
}

TARIFFS: dict[str, Any] = {
    "title": "Read tariffs from a file instead of the code",
    "description": "Prices change twice a year, and each time somebody edits rates.py by hand. The tariff of a year"
    " should be a file that the shop can exchange without us.",
    "success_criteria": [
        "price() takes its numbers from tariffs/2026.toml, and gives what it gave before",
        "A tariff that lacks a zone is refused with the zone's name",
        "The README says how to write a tariff",
    ],
}
TARIFFS_PLAN: list[dict[str, Any]] = [
    {
        "title": "Write this year's tariff as TOML",
        "description": "tariffs/2026.toml with base, per kilo and the zones, as rates.py has them now.",
        "success_criteria": ["The file holds every number of rates.py"],
        "file_hints": [
            {"path": "tariffs/2026.toml", "reason": "to be made"},
            {"path": "parcel/rates.py", "reason": ""},
        ],
    },
    {
        "title": "Load and check a tariff",
        "description": "parcel/tariff.py reads such a file into a frozen dataclass; what is missing is named.",
        "success_criteria": ["A tariff without zone 3 is refused, and the message names zone 3"],
        "file_hints": [{"path": "parcel/tariff.py", "reason": "to be made"}],
        "after": [1],
    },
    {
        "title": "Explain tariffs in the README",
        "description": "What the fields mean, with an example.",
        "success_criteria": ["The README shows a whole tariff"],
        "file_hints": [{"path": "README.md", "reason": ""}],
        "tier": "trivial",
        "after": [1],
    },
    {
        "title": "Compute prices from the tariff",
        "description": "price() takes a tariff; without one, this year's.",
        "success_criteria": ["The tests of rates pass unchanged"],
        "file_hints": [{"path": "parcel/rates.py", "reason": ""}, {"path": "tests/test_rates.py", "reason": ""}],
        "after": [2],
    },
]
TARIFFS_TABLE = {
    "tariffs/2026.toml": 'base = "4.90"\nper_kilo = "1.15"\n\n[zones]\n1 = ["DE"]\n2 = ["AT", "CH", "NL", "BE", "LU"]\n'
    '3 = ["FR", "IT", "PL", "CZ", "DK"]\n'
}
LABELS: dict[str, Any] = {
    "title": "Print labels for returns",
    "success_criteria": ["parcel label --return prints sender and receiver exchanged"],
}
LABELS_PLAN: list[dict[str, Any]] = [
    {"title": "Lay a label out", "description": "A6, with room for a bar code."},
    {"title": "Exchange sender and receiver", "description": "For returns.", "after": [1]},
    {"title": "Add the flag --return", "description": "And its line in the help.", "after": [1], "tier": "trivial"},
    {"title": "Check it on a printer's driver", "description": "With the bytes it gets.", "after": [2, 3]},
]
ISLANDS: dict[str, Any] = {
    "title": "Charge for islands by their own tariff",
    "success_criteria": ["Heligoland costs what tariffs/islands.toml says"],
}
