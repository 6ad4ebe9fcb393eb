#!/usr/bin/env bash
# jsonata 2.2.2 (npm), jsonata-python 0.7.1 (PyPI), Python 3.11: two engines of the language that state machines of AWS
# Step Functions speak
#
# What happens: of a value that is missing, both `=` and `!=` are false. A Choice state that refuses what is not as agreed,
# by a condition such as `{% $states.input.kind != 'agreed' %}`, lets an input pass in which `kind` is missing.
# `$not($states.input.kind = 'agreed')` refuses it.
#
# Seen:              kind != 'agreed' of {}: false; $not(kind = 'agreed') of {}: true; of {"kind": null} both true
# The good guess:    what is missing is not equal to 'agreed', so that it is unequal: true
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
import sys

import jsonata

answers = [jsonata.Jsonata(text).evaluate(given) for text, given in json.load(open(sys.argv[1]))]
print(json.dumps(answers))
PYTHON
cat > "$folder/ask.js" << 'JAVASCRIPT'
const jsonata = require("jsonata");
const questions = JSON.parse(require("fs").readFileSync(process.argv[2]));
Promise.all(questions.map(([text, given]) => jsonata(text).evaluate(given)))
  .then((answers) => console.log(JSON.stringify(answers)));
JAVASCRIPT
cat > "$folder/questions.json" << 'JSON'
[["kind != 'agreed'", {}], ["$not(kind = 'agreed')", {}], ["kind != 'agreed'", {"kind": null}],
 ["$not(kind = 'agreed')", {"kind": null}]]
JSON
python=$("$folder/venv/bin/python" "$folder/ask.py" "$folder/questions.json" | tr -d ' ')
javascript=$(node "$folder/ask.js" "$folder/questions.json")
echo "Python:     $python"
echo "JavaScript: $javascript"
[ "$python" = "[false,true,true,true]" ] && [ "$javascript" = "[false,true,true,true]" ]
