"""The job that sends what is due to one webhook."""

from chassis.jobs import OutsideRun
from notifications.dispatch.wiring import WorkerResources, dispatch
from notifications.webhooks.models import SendDeliveries


async def send_deliveries(arguments: SendDeliveries, run: OutsideRun[WorkerResources]) -> None:
    """Send what is due. A worker that dies leaves the job to the next one."""
    await dispatch(run.resources).run(arguments.webhook_id, job_id=run.job_id)
