"""`python -m batchai`."""

import sys

from batchai.cli import main

sys.exit(main())
