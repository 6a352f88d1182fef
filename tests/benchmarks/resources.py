"""What this process has used so far."""

import sys
import time
from pathlib import Path

_STATUS = Path("/proc/self/status")


def cpu_seconds() -> float:
    """User and system time of all threads."""
    return time.process_time()


def peak_mb() -> float:
    """The most memory that was resident at once, in MB of 10⁶ bytes."""
    if _STATUS.exists():  # ru_maxrss would count what the parent had before exec
        lines = _STATUS.read_text().splitlines()
        line = next(line for line in lines if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / 1e6
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
