"""What stands around a server: clients that put it under load, and the services that an app calls.

It knows `server`. Lessons and checks may enter, and every floor above.
"""

from workbench.around.load import Burst, Call, Heartbeat, ask, burst, heartbeat, look_up
from workbench.around.upstream import Reply, Upstream, upstream

__all__ = ["Burst", "Call", "Heartbeat", "Reply", "Upstream", "ask", "burst", "heartbeat", "look_up", "upstream"]
