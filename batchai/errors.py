"""The error tree. Every error that batchai raises on purpose is one of these.

    BatchaiError
    ├── SpecError         the job file or the command is wrong; nothing was spent        (exit 2)
    ├── RefusedError      batchai will not do this without a word from the user          (exit 2)
    ├── SourceError       the input cannot be read
    │   └── BadRowError   one row of it cannot be used (`on_bad_row` decides what follows)
    ├── TemplateError     a prompt or an expression cannot be evaluated for one item
    ├── PricingError      no price is known for a model, or a usage makes no sense
    ├── ProviderError     a provider cannot be set up (no key, unknown provider, missing package)
    ├── GateError         the gate will not admit a request
    │   ├── BudgetExhaustedError   the rest of the budget is less than the request's worst case
    │   └── OverLimitError         the request alone is larger than a limit allows
    ├── ExportError       a result file is refused: unknown format, or not ours to replace  (exit 2)
    │   └── UnwritableError        the disk does not take it                       (exit 4)
    └── StoreError        the checkpoint store cannot be read or written                 (exit 4)
        └── StoreBusyError         another process holds the job                         (exit 5)

What a provider answers is never an exception: it is a `Reply` with an `Outcome`, and is stored.
A message names the place, the problem and the remedy.
"""

# MemoryError is Python's own; this is what a person can do about it
OUT_OF_MEMORY = (
    "lower limits.concurrency, split what is large in the input, or give the process more memory; "
    "run again to go on: what was recorded is kept, what was in flight counts as unknown"
)


class BatchaiError(Exception):
    """Base of every error that batchai raises on purpose; `str()` of it is help for a person."""


class SpecError(BatchaiError):
    """The job file or the command line is wrong. Nothing was sent and nothing was spent."""


class RefusedError(BatchaiError):
    """Refused before spending until the user says more (`--yes`, `--budget`, `--changed` …)."""


class SourceError(BatchaiError):
    """The input cannot be opened or read."""


class BadRowError(SourceError):
    """One row of the input cannot be used; the message names file and line."""


class TemplateError(BatchaiError):
    """A template or expression does not compile, or cannot be evaluated for one item."""


class PricingError(BatchaiError):
    """No price is known for a model, or a usage is negative or contradicts itself."""


class ProviderError(BatchaiError):
    """A provider cannot be set up: unknown name, missing key, missing package, refused address."""


class GateError(BatchaiError):
    """The gate will not admit a request."""


class BudgetExhaustedError(GateError):
    """What is left of the budget does not cover the request's worst case; nothing is in flight."""


class OverLimitError(GateError):
    """The request alone is larger than one of the limits: it would wait for ever."""


class ExportError(BatchaiError):
    """A result file is not written; the file of before, if any, is untouched."""


class UnwritableError(ExportError):
    """The disk does not take a result file."""


class StoreError(BatchaiError):
    """The checkpoint store cannot be read or written."""


class StoreBusyError(StoreError):
    """Another process holds the job's store."""
