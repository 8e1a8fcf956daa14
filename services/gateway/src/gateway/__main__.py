"""Run the gateway: ``python -m gateway``."""

import gc
from importlib import import_module

from chassis.early_stop import exit_on_sigterm

exit_on_sigterm(status=0)
gc.disable()  # as in `chassis.run`
# The import takes seconds. SIGTERM may arrive during that time, so its handler is set first.
import_module("gateway.app").main()
