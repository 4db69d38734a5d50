# Two wishes that contradict each other; no change of wrap() can fulfil both.
set -e
cat > tests/test_wrapping_strictly.py <<'PY'
import unittest

from textkit.wrapping import wrap

TEXT = "an incomprehensibilities of words"


class Strictly(unittest.TestCase):
    def test_no_line_is_longer_than_the_width(self):
        self.assertTrue(all(len(line) <= 10 for line in wrap(TEXT, 10)))

    def test_no_word_is_split(self):
        self.assertEqual(TEXT.split(), " ".join(wrap(TEXT, 10)).split())
PY
