"""Stops a process that gets SIGTERM during its imports; this module imports nothing slow.

A container's process has PID 1, for which the kernel ignores a signal without a handler
(pid_namespaces(7)). Imports take seconds. Without this module, a pod that is deleted during its
imports would run until SIGKILL at the end of its grace period.
"""

import os
import signal

# 128 + SIGTERM: the process stopped before its work was done.
NOT_DONE = 143


def exit_on_sigterm(*, status: int) -> None:
    """Exit at once on SIGTERM, until the process sets a handler of its own.

    Args:
        status: the exit status: 0 if nothing is lost, NOT_DONE if requested work is not done. The
            server rolls back open transactions.
    """
    signal.signal(signal.SIGTERM, lambda *_: os._exit(status))
