"""`genretag doctor`: what is installed, what the machine offers, and what is missing."""

from __future__ import annotations

from genretag.cli import options
from genretag.cli.output import table
from genretag.escapes import json_line


def doctor(*, json: options.JsonDocument = False) -> int:
    """Check the installation: libraries, decoders, devices, models and folders.

    Exits with 1 if something is wrong that keeps genretag from tagging.

    Example: genretag doctor
    """
    from genretag.diagnosis import diagnose

    checks = diagnose()
    if json:
        print(json_line({"ok": all(check.ok for check in checks), "checks": [c.to_dict() for c in checks]}))
    else:
        table(
            ("result", "what", "found"),
            [("ok" if check.ok else "FAIL", check.name, check.found) for check in checks],
        )
    return 0 if all(check.ok for check in checks) else 1
