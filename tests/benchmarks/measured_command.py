"""`python -m tests.benchmarks.measured_command COMMAND …`: batchai's command line, and its peak."""

import json
import sys

from batchai.cli import main
from tests.benchmarks.resources import peak_mb

if __name__ == "__main__":
    code = main(sys.argv[1:])
    print(json.dumps({"peak_mb": peak_mb()}), file=sys.stderr)
    sys.exit(code)
