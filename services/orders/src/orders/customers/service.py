"""The use cases of customers."""

from uuid import UUID

from chassis.jobs import Jobs
from orders.customers.errors import CustomerInactive
from orders.customers.models import CloseAccountOrders
from orders.customers.repository import CustomerRepository


class CustomerService:
    """The customers, in one transaction.

    Args:
        customers: the repository.
        jobs: enqueues the work on the orders of an account that ended.
    """

    def __init__(self, *, customers: CustomerRepository, jobs: Jobs) -> None:
        self._customers = customers
        self._jobs = jobs

    async def require_active(self, customer_id: UUID) -> None:
        """Raise unless the customer is active; keep the customer active until the commit.

        Raises:
            CustomerInactive: the account was deactivated.
        """
        if not await self._customers.is_active(customer_id):
            message = (
                "Your account is deactivated, so it can't place orders. Ask support to reactivate "
                "it."
            )
            raise CustomerInactive(message)

    async def is_active(self, customer_id: UUID) -> bool:
        """Return whether the customer is active, and keep it so until the commit."""
        return await self._customers.is_active(customer_id)

    async def is_deleted(self, customer_id: UUID) -> bool:
        """Return whether the customer's account was deleted; false if the customer is unknown."""
        return await self._customers.is_deleted(customer_id)

    async def registered(self, customer_id: UUID, *, version: int) -> None:
        """Store a new account. A newer stored version stays."""
        await self.learn(customer_id, is_active=True, version=version)

    async def learn(
        self, customer_id: UUID, *, is_active: bool, version: int, is_deleted: bool = False
    ) -> None:
        """Store an account's state at `version`. A newer stored version stays.

        If the account ended, a job cancels its open orders one by one: this transaction would
        otherwise hold many orders and products, while others wait for it.
        """
        stored = await self._customers.learn(
            customer_id, is_active=is_active, is_deleted=is_deleted, version=version
        )
        if stored and not is_active:
            await self._jobs.enqueue(CloseAccountOrders(customer_id=customer_id))
