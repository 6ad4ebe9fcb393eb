#!/usr/bin/env bash
# jsonata 2.2.2 (npm, the reference), jsonata-python 0.7.1 (PyPI), Python 3.11
#
# What happens: JSONata hands a pattern to the regular expressions of the language in which its engine is written. In
# JavaScript `$` is the end of the text; in Python (as in Java) also the place before a line feed that ends it. The same
# expression takes a name with a line feed behind it, or not. The match compared with the whole text is the same everywhere.
#
# Seen:              $contains(name, /^[a-z]+$/) of "name\n": JavaScript false, Python true
#                    $match(name, /[a-z]+/)[0].match = name of "name\n": false in both
# The good guess:    one language, one answer; and a pattern between ^ and $ is about the whole text
#
# Exits 0 while that is so, 1 when it changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check jsonata-python==0.7.1
npm install --silent --no-fund --no-audit --prefix "$folder" jsonata@2.2.2
cat > "$folder/ask.py" << 'PYTHON'
import json

import jsonata

given = {"name": "name\n"}
texts = ["$contains(name, /^[a-z]+$/)", "$match(name, /[a-z]+/)[0].match = name"]
print(json.dumps([jsonata.Jsonata(text).evaluate(given) for text in texts]))
PYTHON
cat > "$folder/ask.js" << 'JAVASCRIPT'
const jsonata = require("jsonata");
const given = { name: "name\n" };
const texts = ["$contains(name, /^[a-z]+$/)", "$match(name, /[a-z]+/)[0].match = name"];
Promise.all(texts.map((text) => jsonata(text).evaluate(given))).then((answers) => console.log(JSON.stringify(answers)));
JAVASCRIPT
python=$("$folder/venv/bin/python" "$folder/ask.py" | tr -d ' ')
javascript=$(node "$folder/ask.js")
echo "Python:     $python"
echo "JavaScript: $javascript"
[ "$python" = "[true,false]" ] && [ "$javascript" = "[false,false]" ]
