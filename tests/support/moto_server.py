# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""moto on 127.0.0.1, in a process of its own, as it is or with the lab's fixes: ``moto_server.py plain|fixed [STATE]``.

Prints its port, then serves until its standard input ends.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from pathlib import Path


def main(kind: str, state: str) -> None:
    """Serve until standard input ends."""
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True)
    if kind == "fixed":
        from ansible_collections.policyproof.ecr.lab import moto_fixes
        from ansible_collections.policyproof.ecr.lab.settings import Settings

        moto_fixes.apply(Settings(Path(state), "us-east-1", "123456789012", server.port, 45443, 45444))
    print(server.port, flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
    # Nothing of it is worth tidying up.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else tempfile.gettempdir())
