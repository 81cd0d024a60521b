"""`python -m benchmarks [name …]`: all of them, or those named."""

import sys

from benchmarks import bench_commits, bench_meter, bench_start, bench_throughput

ALL = {
    "commits": bench_commits.main,
    "meter": bench_meter.main,
    "start": bench_start.main,
    "throughput": bench_throughput.main,
}


def main() -> None:
    for name in sys.argv[1:] or ALL:
        print(f"\n== {name} ==", flush=True)
        ALL[name]()


main()
