"""Ten goals over little repositories: what is asked for, the plan an oracle makes of it, and the work of each part.

The trees are those of the evaluation (`fixtures/eval`). A worker knows of its own part only; where parts get into each
other's way they do so because both are done honestly from the same start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.eval.acting import Change, Edit, Write

UNITTEST = "python3 -m unittest discover -s tests -t ."


@dataclass(frozen=True, kw_only=True)
class Part:
    """One slice: what its planner says of it, and what its worker does; `again` is what it does once it came back."""

    title: str
    changes: Sequence[Change]
    after: Sequence[int] = ()
    again: Sequence[Change] = ()
    new: Sequence[str] = ()
    command: str = UNITTEST


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """What has to be true, and the text in the difference of the file `where` by which a judge can see that it is.

    `where` may be the name of a check instead; then `shows` is how it has to have ended.
    """

    text: str
    where: str
    shows: str


@dataclass(frozen=True, kw_only=True)
class Case:
    """One goal. `meanwhile` is what somebody else puts on the default branch while it is carried out.

    `unplanned` are parts that its planner forgets and its judge asks for. `proof` is a command that nobody who plans,
    works or judges has seen. `rounds` are how many follow-up rounds it takes, `returned` how often work came back from
    a merge.
    """

    name: str
    tree: str
    title: str
    criteria: Sequence[Criterion]
    parts: Sequence[Part]
    proof: str
    check: str = UNITTEST
    meanwhile: Mapping[str, str] = field(default_factory=dict)
    unplanned: Sequence[Part] = ()
    follows: Part | None = None
    rounds: int = 0
    returned: int = 0

    @property
    def slices(self) -> int:
        return len(self.parts) + len(self.unplanned) + (self.follows is not None)

    @property
    def calls(self) -> int:
        """Calls of a model: a plan, and a verdict for each round."""
        return 2 + self.rounds

    def part(self, title: str) -> Part:
        """The part that a task is about."""
        every = [*self.parts, *self.unplanned, *([self.follows] if self.follows else [])]
        return next(part for part in every if part.title == title)

    @property
    def plan(self) -> dict[str, Any]:
        """As its oracle answers."""
        return {"slices": [_slice(part) for part in self.parts]}


def _slice(part: Part) -> dict[str, Any]:
    touched = {change.path for change in part.changes if isinstance(change, Edit)} - set(part.new)
    return {
        "title": part.title,
        "description": f"{part.title}, with its test.",
        "success_criteria": [f"{part.title}."],
        "files": sorted(touched),
        "new_files": list(part.new),
        "checks": [{"type": "command_succeeds", "target": part.command}, {"type": "no_secrets", "target": ""}],
        "after": list(part.after),
        "tier": "standard",
    }


def adds(module: str, code: str, test: str, uses: str, *, title: str, after: Sequence[int] = ()) -> Part:
    """A part that makes a module and its test, both of them new; `uses` are the imports of the test."""
    name = module.removesuffix(".py").replace("/", ".")
    known = f"tests/test_{name.rpartition('.')[2]}.py"
    body = f"import unittest\n\n{uses}\n\n\nclass It(unittest.TestCase):\n    def test_it(self):\n"
    return Part(
        title=title,
        changes=[Write(module, code), Write(known, f"{body}        {test}\n")],
        new=[module, known],
        after=after,
    )


def seen(text: str, where: str, shows: str) -> Criterion:
    return Criterion(text=text, where=where, shows=shows)


ONE = Case(
    name="one-slice",
    tree="bug-clock",
    title="Show five past one as 1:05",
    criteria=[seen("Minutes below ten have two digits.", "clock.py", "{rest:02d}")],
    parts=[Part(title="Pad the minutes", changes=[Edit("clock.py", "{rest}", "{rest:02d}")])],
    proof="""python3 -c "from clock import clock; assert ['0:03', '9:07'] == [clock(3), clock(547)]" """,
)

CHAIN = Case(
    name="chain-of-two",
    tree="feature-slug",
    title="Give pages an address made of their title",
    criteria=[
        seen("There is a function that makes slugs.", "words.py", "def slug("),
        seen("A page has an address.", "pages.py", "def address("),
    ],
    parts=[
        Part(
            title="Make slugs",
            changes=[
                Edit(
                    "words.py", '"""Small functions for words."""\n', '"""Small functions for words."""\n\nimport re\n'
                ),
                Edit(
                    "words.py",
                    "text.split())\n",
                    'text.split())\n\n\ndef slug(text):\n    """`text` for an address."""\n'
                    '    return re.sub("[^a-z0-9]+", "-", text.lower()).strip("-")\n',
                ),
                Write(
                    "tests/test_slug.py",
                    "import unittest\n\nfrom words import slug\n\n\nclass Slug(unittest.TestCase):\n"
                    '    def test_it(self):\n        self.assertEqual("a-b", slug("A  B!"))\n',
                ),
            ],
            new=["tests/test_slug.py"],
        ),
        adds(
            "pages.py",
            'from words import slug\n\n\ndef address(title):\n    return f"/pages/{slug(title)}"\n',
            'self.assertEqual("/pages/a-b", address("A B"))',
            "from pages import address",
            title="Give pages an address",
            after=[1],
        ),
    ],
    proof="""python3 -c "from pages import address; assert '/pages/x-1' == address(' x.1 ')" """,
)

PAIR = Case(
    name="parallel-pair",
    tree="docs-strings",
    title="Know circles and triangles",
    criteria=[
        seen("There are areas of circles.", "circles.py", "def circle("),
        seen("There are areas of triangles.", "triangles.py", "def triangle("),
        seen("The tests pass.", f"command_succeeds {UNITTEST}", "pass"),
    ],
    parts=[
        adds(
            "circles.py",
            "from math import pi\n\n\ndef circle(radius):\n    return pi * radius**2\n",
            "self.assertAlmostEqual(12.566, circle(2), places=3)",
            "from circles import circle",
            title="Areas of circles",
        ),
        adds(
            "triangles.py",
            "def triangle(base, height):\n    return base * height / 2\n",
            "self.assertEqual(3, triangle(2, 3))",
            "from triangles import triangle",
            title="Areas of triangles",
        ),
    ],
    proof="""python3 -c "import circles, triangles, shapes; assert triangles.triangle(1, 1) == 0.5" """,
)

DIAMOND = Case(
    name="diamond",
    tree="refactor-twice",
    title="Receipts with a discount",
    criteria=[
        seen("Rounding is in one place.", "tax.py", "def cents("),
        seen("There are discounts.", "discount.py", "def discounted("),
        seen("There are lines of a receipt.", "lines.py", "def line("),
        seen("A receipt has both.", "receipt.py", "def receipt("),
    ],
    parts=[
        Part(
            title="Round in one place",
            changes=[
                Edit(
                    "tax.py",
                    "\n\ndef gross(",
                    '\n\ndef cents(amount):\n    """To whole cents."""\n'
                    "    return amount.quantize(CENT, rounding=ROUND_HALF_UP)\n\n\ndef gross(",
                ),
                Edit(
                    "tax.py",
                    "return (net_price * (100 + rate) / 100).quantize(CENT, rounding=ROUND_HALF_UP)",
                    "return cents(net_price * (100 + rate) / 100)",
                ),
                Edit(
                    "tax.py",
                    "return (gross_price * 100 / (100 + rate)).quantize(CENT, rounding=ROUND_HALF_UP)",
                    "return cents(gross_price * 100 / (100 + rate))",
                ),
            ],
        ),
        adds(
            "discount.py",
            "from tax import cents\n\n\ndef discounted(price, percent):\n"
            "    return cents(price * (100 - percent) / 100)\n",
            'self.assertEqual("9.00", str(discounted(Decimal(10), 10)))',
            "from decimal import Decimal\n\nfrom discount import discounted",
            title="Discounts",
            after=[1],
        ),
        adds(
            "lines.py",
            'from tax import gross\n\n\ndef line(name, price):\n    return f"{name}: {gross(price, 19)}"\n',
            'self.assertEqual("Tea: 11.90", line("Tea", Decimal(10)))',
            "from decimal import Decimal\n\nfrom lines import line",
            title="Lines of a receipt",
            after=[1],
        ),
        adds(
            "receipt.py",
            "from discount import discounted\nfrom lines import line\n\n\ndef receipt(things, percent):\n"
            "    return [line(name, discounted(price, percent)) for name, price in things]\n",
            'self.assertEqual(["Tea: 10.71"], receipt([("Tea", Decimal(10))], 10))',
            "from decimal import Decimal\n\nfrom receipt import receipt",
            title="Receipts",
            after=[2, 3],
        ),
    ],
    proof=(
        """python3 -c "from decimal import Decimal as D; from receipt import receipt; """
        """assert ['A: 0.60'] == receipt([('A', D(1))], 50)" """
    ),
)

CONFLICT = Case(
    name="conflicting-pair",
    tree="noop-typo",
    title="Boxes with a limit that know what was not read",
    criteria=[
        seen("A box counts what was not read.", "mail.py", "self.unread"),
        seen("A box can be full.", "mail.py", "self.most"),
        seen("A box says so.", "signs.py", "def sign("),
    ],
    parts=[
        Part(
            title="Count what was not read",
            changes=[
                Edit("mail.py", "self.letters = []\n", "self.letters = []\n        self.unread = 0\n"),
                Edit("mail.py", "append(letter)\n", "append(letter)\n        self.unread += 1\n"),
            ],
        ),
        Part(
            title="Limit the box",
            changes=[
                Edit("mail.py", "def __init__(self):", "def __init__(self, most=100):"),
                Edit("mail.py", "self.letters = []\n", "self.letters = []\n        self.most = most\n"),
            ],
        ),
        adds(
            "signs.py",
            'def sign(box):\n    return f"{box.unread} of {box.most}"\n',
            'self.assertEqual("0 of 3", sign(Box(3)))',
            "from mail import Box\nfrom signs import sign",
            title="Say so on the box",
            after=[1, 2],
        ),
    ],
    proof=(
        """python3 -c "from mail import Box; box = Box(7); box.receive('x'); """
        """assert (1, 7, ['x']) == (box.unread, box.most, box.letters)" """
    ),
    returned=1,
)

RED = Case(
    name="pair-that-breaks-together",
    tree="rename-total",
    title="Say order_total, and tell large orders apart",
    criteria=[
        seen("The function is called order_total.", "shop/orders.py", "def order_total("),
        seen("Large orders are known.", "shop/large.py", "def is_large("),
    ],
    parts=[
        Part(
            title="Call it order_total",
            changes=[
                Edit("shop/orders.py", "def calc(", "def order_total("),
                Edit("shop/bill.py", "import calc", "import order_total"),
                Edit("shop/bill.py", "{calc(", "{order_total("),
                Edit("tests/test_orders.py", "import calc", "import order_total"),
                Edit("tests/test_orders.py", "calc([", "order_total(["),
            ],
        ),
        Part(
            title="Tell large orders apart",
            changes=[
                Write(
                    "shop/large.py",
                    "from shop.orders import calc\n\n\ndef is_large(lines):\n    return calc(lines) >= 100\n",
                ),
                Write(
                    "tests/test_large.py",
                    "import unittest\n\nfrom shop.large import is_large\n\n\nclass Large(unittest.TestCase):\n"
                    "    def test_it(self):\n        self.assertTrue(is_large([(50, 2)]))\n",
                ),
            ],
            again=[
                Write(
                    "shop/large.py",
                    "from shop.orders import order_total\n\n\ndef is_large(lines):\n"
                    "    return order_total(lines) >= 100\n",
                ),
                Write(
                    "tests/test_large.py",
                    "import unittest\n\nfrom shop.large import is_large\n\n\nclass Large(unittest.TestCase):\n"
                    "    def test_it(self):\n        self.assertTrue(is_large([(50, 2)]))\n",
                ),
            ],
            new=["shop/large.py", "tests/test_large.py"],
        ),
    ],
    proof="""python3 -c "from shop.large import is_large; assert not is_large([(1, 99)])" && ! grep -rnw calc shop""",
    returned=1,
)

VERSION = "python3 tools/same_version.py"
MOVES = Case(
    name="default-branch-moves",
    tree="multi-version",
    title="Release 1.3.0",
    check=VERSION,
    criteria=[
        seen("Every place says 1.3.0.", "app/version.py", "1.3.0"),
        seen("The version can be shown.", "app/__main__.py", "print(VERSION)"),
    ],
    parts=[
        Part(
            title="Say 1.3.0 everywhere",
            changes=[
                Edit("VERSION", "1.2.9", "1.3.0"),
                Edit("app/version.py", "1.2.9", "1.3.0"),
                Edit("NEWS.md", "## 1.2.9", "## 1.3.0\n\n- Shows its version.\n\n## 1.2.9"),
            ],
            command=VERSION,
        ),
        Part(
            title="Show the version",
            changes=[Write("app/__main__.py", "from app.version import VERSION\n\nprint(VERSION)\n")],
            new=["app/__main__.py"],
            command="python3 -m app",
        ),
    ],
    meanwhile={"COPYING": "Do with it what you like.\n"},
    proof='test "$(python3 -m app)" = 1.3.0 && test -s COPYING',
)

COUNTER = '''"""Numbers, one after another."""


class Counter:
    def __init__(self):
        self.last = 0

    def next(self):
        self.last += 1
        return self.last


shared = Counter()


def next_number():
    """The next one; the first is 1."""
    return shared.next()
'''
CATCHES_UP = Case(
    name="default-branch-conflicts",
    tree="refactor-global",
    title="Counters without a global",
    criteria=[seen("There is a class for counters.", "counters.py", "class Counter")],
    parts=[
        Part(
            title="Make a class of the counter",
            changes=[Write("counter.py", f'{COUNTER}\n\ndef reset():\n    """Begin anew."""\n    shared.last = 0\n')],
        )
    ],
    meanwhile={
        "counter.py": '"""Numbers, one after another."""\n\n_last = 0\n\n\ndef next_number():\n'
        '    """The next one; the first is 1."""\n    global _last\n    _last += 1\n    return _last\n\n\n'
        'def reset(to=0):\n    """Begin anew, or elsewhere."""\n    global _last\n    _last = to\n'
    },
    follows=Part(
        title="Follow main",
        changes=[
            Write("counters.py", f"{COUNTER}\n\ndef reset(to=0):\n    shared.last = to\n"),
            Write(
                "counter.py",
                '"""Numbers, one after another."""\n\n_last = 0\n\n\ndef next_number():\n'
                '    """The next one; the first is 1."""\n    global _last\n    _last += 1\n    return _last\n\n\n'
                'def reset(to=0):\n    """Begin anew, or elsewhere."""\n    global _last\n    _last = to\n',
            ),
        ],
    ),
    proof="""python3 -c "import counters; counters.reset(to=4); assert 5 == counters.next_number()" """,
)

CONFIG = "python3 config/validate.py config/app.json"
GAP = Case(
    name="forgotten-part",
    tree="config-port",
    title="A configuration that is valid, shown and explained",
    check=CONFIG,
    criteria=[
        seen("The port is a number.", "config/app.json", '"port": 8080'),
        seen("The configuration can be shown.", "config/show.py", "json.load"),
        seen("A README explains every setting.", "README.md", "timeout_seconds"),
    ],
    parts=[
        Part(
            title="Mend the values",
            changes=[
                Edit("config/app.json", '"8080"', "8080"),
                Edit("config/app.json", "30000", "30"),
            ],
            command=CONFIG,
        ),
        Part(
            title="Show the configuration",
            changes=[
                Write(
                    "config/show.py",
                    "import json\nimport sys\n\nwith open(sys.argv[1]) as file:\n"
                    "    for name, value in json.load(file).items():\n        print(name, value)\n",
                )
            ],
            new=["config/show.py"],
            after=[1],
            command="python3 config/show.py config/app.json",
        ),
        Part(
            title="Check the configuration with make",
            changes=[Write("Makefile", f"check:\n\t{CONFIG}\n")],
            new=["Makefile"],
            after=[1],
            command="make check",
        ),
    ],
    unplanned=[
        Part(
            title="Not met: A README explains every setting.",
            changes=[Write("README.md", "`port` and `host`: where it listens. `timeout_seconds`: 1 to 300.\n")],
        )
    ],
    rounds=1,
    proof="make check && python3 config/show.py config/app.json | grep -qx 'port 8080' && grep -q port README.md",
)

EIGHT = Case(
    name="eight-in-two-diamonds",
    tree="multi-currency",
    title="A till for every currency",
    criteria=[
        seen("Prices have a currency.", "till/price.py", "currency"),
        seen("Prices can be added up.", "till/sums.py", "def total("),
        seen("There are taxes.", "till/tax.py", "def taxed("),
        seen("There are receipts.", "till/receipt.py", "def receipt("),
        seen("Prices can be changed into others.", "till/change.py", "def changed("),
        seen("There is a report of a day.", "till/report.py", "def report("),
        seen("It can be run.", "till/__main__.py", "report("),
        seen("The tests pass.", f"command_succeeds {UNITTEST}", "pass"),
    ],
    parts=[
        Part(
            title="Prices have a currency",
            changes=[
                Edit("till/price.py", "cents: int\n", 'cents: int\n    currency: str = "EUR"\n'),
                Edit(
                    "till/parse.py",
                    "return Price(round(float(text) * 100))",
                    'number, _, currency = text.partition(" ")\n'
                    '    return Price(round(float(number) * 100), currency or "EUR")',
                ),
                Edit("till/show.py", ':.2f}"', ':.2f} {price.currency}"'),
            ],
        ),
        adds(
            "till/sums.py",
            "from till.price import Price\n\n\ndef total(prices):\n"
            "    return Price(sum(one.cents for one in prices), prices[0].currency)\n",
            'self.assertEqual("3.00 EUR", show(total([parse("1"), parse("2")])))',
            "from till.parse import parse\nfrom till.show import show\nfrom till.sums import total",
            title="Add prices up",
            after=[1],
        ),
        adds(
            "till/tax.py",
            "from till.price import Price\n\n\ndef taxed(price):\n"
            "    return Price(round(price.cents * 1.19), price.currency)\n",
            'self.assertEqual("1.19 EUR", show(taxed(parse("1"))))',
            "from till.parse import parse\nfrom till.show import show\nfrom till.tax import taxed",
            title="Taxes",
            after=[1],
        ),
        adds(
            "till/receipt.py",
            "from till.show import show\nfrom till.sums import total\nfrom till.tax import taxed\n\n\n"
            "def receipt(prices):\n    return [*map(show, prices), show(taxed(total(prices)))]\n",
            'self.assertEqual(["1.00 EUR", "1.19 EUR"], receipt([parse("1")]))',
            "from till.parse import parse\nfrom till.receipt import receipt",
            title="Receipts",
            after=[2, 3],
        ),
        adds(
            "till/change.py",
            "from till.price import Price\n\n\ndef changed(price, currency, rate):\n"
            "    return Price(round(price.cents * rate), currency)\n",
            'self.assertEqual("2.00 CHF", show(changed(parse("1"), "CHF", 2)))',
            "from till.parse import parse\nfrom till.show import show\nfrom till.change import changed",
            title="Change prices into others",
            after=[1],
        ),
        adds(
            "till/report.py",
            "from till.receipt import receipt\n\n\ndef report(days):\n"
            "    return [receipt(prices)[-1] for prices in days]\n",
            'self.assertEqual(["1.19 EUR"], report([[parse("1")]]))',
            "from till.parse import parse\nfrom till.report import report",
            title="A report of a day",
            after=[4],
        ),
        adds(
            "till/abroad.py",
            "from till.change import changed\nfrom till.receipt import receipt\n\n\n"
            'def abroad(prices):\n    return receipt([changed(one, "CHF", 1) for one in prices])\n',
            'self.assertEqual("1.19 CHF", abroad([parse("1")])[-1])',
            "from till.parse import parse\nfrom till.abroad import abroad",
            title="Receipts for abroad",
            after=[4, 5],
        ),
        Part(
            title="Run it",
            changes=[
                Write(
                    "till/__main__.py",
                    "import sys\n\nfrom till.abroad import abroad\nfrom till.parse import parse\n"
                    "from till.report import report\n\nprices = [parse(text) for text in sys.argv[1:]]\n"
                    "print(*report([prices]), abroad(prices)[-1])\n",
                )
            ],
            new=["till/__main__.py"],
            after=[6, 7],
            command="python3 -m till 1 2",
        ),
    ],
    proof='test "$(python3 -m till 1 2)" = "3.57 EUR 3.57 CHF"',
)

CASES = (ONE, CHAIN, PAIR, DIAMOND, CONFLICT, RED, MOVES, CATCHES_UP, GAP, EIGHT)
BY_TITLE = {case.title: case for case in CASES}
