"""A `kubectl` that runs what it is given in a directory of this machine: it stands in for the far side of a pod.

It takes what `kubectl exec -i NAME [--container=C] -- COMMAND` takes, and the options before it that name a cluster.
The file `orders` in its directory says how a copy (`cat` or `tail` of a file) is to go wrong, one line for each:
`cut N` passes the first N bytes and ends with 0, as a stream that broke off does; `flip N` changes the byte at N;
`fail N` ends with 1 after N bytes; `whole` copies as it should. The last line holds for all that follow.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path

_PROGRAM = """#!{python}
import json, os, subprocess, sys
home = {home!r}
arguments = sys.argv[1:]
with open(os.path.join(home, "calls"), "a") as calls:
    calls.write(json.dumps(arguments) + "\\n")
while arguments and arguments[0].startswith("--"):
    arguments.pop(0)
if arguments[:2] != ["exec", "-i"] or "--" not in arguments:
    sys.exit("error: this stand-in knows exec -i alone")
command = arguments[arguments.index("--") + 1:]
environment = {{**os.environ, **json.loads({settings!r})}}
copies = command[0] in ("cat", "tail") and command[-1].endswith("/dump")
if not copies:
    os.execvpe(command[0], command, environment)
orders = open(os.path.join(home, "orders")).read().splitlines() or ["whole"]
word, _blank, number = orders[0].partition(" ")
if len(orders) > 1:
    with open(os.path.join(home, "orders"), "w") as left:
        left.write("\\n".join(orders[1:]))
data = subprocess.run(command, stdout=subprocess.PIPE, env=environment, check=True).stdout
if word in ("cut", "fail"):
    data = data[:int(number)]
elif word == "flip":
    at = int(number)
    data = data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]
sys.stdout.buffer.write(data)
sys.stdout.flush()
sys.exit(1 if word == "fail" else 0)
"""


class Kubectl:
    """The program, in a directory: `path` is to be given as `pod.kubectl`."""

    def __init__(self, home: Path, settings: Mapping[str, str]) -> None:
        """Make it; `settings` are the variables of the pod."""
        home.mkdir(parents=True, exist_ok=True)
        self.home = home
        self.path = home / "kubectl"
        text = _PROGRAM.format(python=sys.executable, home=str(home), settings=json.dumps(dict(settings)))
        self.path.write_text(text, encoding="utf-8")
        os.chmod(self.path, stat.S_IRWXU)
        self.order("whole")

    def order(self, *lines: str) -> None:
        """Say how the next copies go wrong."""
        (self.home / "orders").write_text("\n".join(lines), encoding="utf-8")

    def calls(self) -> list[list[str]]:
        """The arguments of each call until now."""
        path = self.home / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
