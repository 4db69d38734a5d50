# A quote inside a field is written twice; the test that expected the bug expects it no more.
set -e
sed 's/return f\x27.*/return \x27"\x27 + field.replace(\x27"\x27, \x27""\x27) + \x27"\x27/' textkit/rows.py > rows.new
cat rows.new > textkit/rows.py
sed '/expectedFailure/d' tests/test_rows.py > rows.new
cat rows.new > tests/test_rows.py
rm rows.new
