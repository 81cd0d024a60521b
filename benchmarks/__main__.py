"""`python -m benchmarks [name …]`: all of them, or those named."""

import sys

from benchmarks import (
    bench_admin,
    bench_commits,
    bench_meetings,
    bench_meter,
    bench_settle,
    bench_start,
    bench_throughput,
)

FULL = ["--accounts", "1000000", "--entries", "5000000", "--jobs", "200000"]
ALL = {
    "admin": (lambda: bench_admin.main(FULL), "ten minutes"),
    "commits": (bench_commits.main, "a minute and a half"),
    "meetings": (lambda: bench_meetings.main([]), "ten minutes"),
    "meter": (bench_meter.main, "a minute"),
    "settle": (bench_settle.main, "a quarter of a minute"),
    "start": (bench_start.main, "half a minute"),
    "throughput": (bench_throughput.main, "four minutes"),
}


def main() -> None:
    names = sys.argv[1:] or list(ALL)
    for name in names:
        run, takes = ALL[name]
        print(f"\n== {name} == (about {takes})", flush=True)
        run()


main()
