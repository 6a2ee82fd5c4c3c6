"""`bed.py up DIRECTORY`, `bed.py down DIRECTORY`: the servers of a scenario, which are those of the demo."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])  # instead of this folder

from tests.bed.demo_bed import Bed  # noqa: E402  the path comes first
from tests.bed.ledger import Ledger  # noqa: E402


def main() -> None:
    action, home = sys.argv[1], Path(sys.argv[2])
    if action == "up":
        home.mkdir(parents=True, exist_ok=True)
        Bed(home).build()
    else:
        Ledger(home / "bed.json").close()
        shutil.rmtree(home)


if __name__ == "__main__":
    main()
