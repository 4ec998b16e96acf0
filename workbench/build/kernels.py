"""How builds and tests reach their kernels: through files, because ports are picked before they are bound.

Between the two, anything else on the machine may take one, and the kernel then dies before it has said a word.
"""

import sys
import tempfile
import uuid
from pathlib import Path

from jupyter_client.manager import KernelManager
from traitlets.config import Config

TRANSPORT = "tcp" if sys.platform == "win32" else "ipc"


def _address() -> dict[str, str]:
    if TRANSPORT == "tcp":
        return {}
    return {"transport": TRANSPORT, "ip": str(Path(tempfile.gettempdir(), f"kernel-{uuid.uuid4().hex[:12]}"))}


def config() -> Config:
    """For one NotebookClient(config=…), whose kernel gets an address of its own."""
    return Config({"ConnectionFileMixin": _address()})


def kernel_manager(**options: object) -> KernelManager:
    """A jupyter_client KernelManager, with an address of its own."""
    return KernelManager(**_address(), **options)
