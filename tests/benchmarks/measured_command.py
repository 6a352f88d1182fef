"""`python -m tests.benchmarks.measured_command COMMAND …`: batchai, and what it used."""

import json
import sys

from batchai.cli import main
from tests.benchmarks.resources import cpu_seconds, peak_mb

if __name__ == "__main__":
    code = main(sys.argv[1:])
    print(json.dumps({"cpu_seconds": cpu_seconds(), "peak_mb": peak_mb()}), file=sys.stderr)
    sys.exit(code)
